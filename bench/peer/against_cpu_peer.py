#!/usr/bin/env python3
"""Holds `uvic bench` against cpu_peer.py in turns, and prints medians and their ratio as a Markdown table.

    python3 bench/peer/against_cpu_peer.py --uvic build/release/bin/uvic --python /usr/bin/python3 --rounds 3

Each round runs ours, then the peer, each in a process of its own, so that what else the machine does meets both.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

from uvic_bench import uvic_bench

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIGS = {"softmax": "cifar10_uvit_small", "cog": "cifar10_uvic_small"}


def ours(options, attention, what, precision):
    result = uvic_bench(options.uvic, "--networks", CONFIGS[attention], "--parts", what, "--precision", precision,
                        "--batch_size", options.batch_size, "--seconds", options.seconds)
    return result[what][0]["median_sec"], result["peak_memory_mib"]


def peer(options, attention, what, precision):
    line = subprocess.run(
        [options.python, os.path.join(HERE, "cpu_peer.py"), "--attention", attention, "--what", what,
         "--precision", precision, "--batch_size", str(options.batch_size), "--calls", str(options.calls)],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    row = json.loads(line)
    return row["median_sec"], row["peak_memory_mib"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uvic", default="build/release/bin/uvic")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--what", default="step,evaluation")
    parser.add_argument("--precision", default="bf16,fp32")
    parser.add_argument("--attention", default="softmax,cog")
    options = parser.parse_args()
    print("| | uvic, images/s | PyTorch, images/s | ratio | memory, MiB | memory ratio |\n|---|---|---|---|---|---|")
    for precision in options.precision.split(","):
        for what in options.what.split(","):
            for attention in options.attention.split(","):
                rows = [(ours(options, attention, what, precision), peer(options, attention, what, precision))
                        for _ in range(options.rounds)]
                mine, other = (statistics.median(row[i][0] for row in rows) for i in (0, 1))
                memory, other_memory = (statistics.median(row[i][1] for row in rows) for i in (0, 1))
                name = {"softmax": "U-ViT", "cog": "U-ViC"}[attention]
                print(f"| {what}, {name}, {precision} | {options.batch_size / mine:.2f} | {options.batch_size / other:.2f} "
                      f"| {other / mine:.2f} | {memory:.0f} / {other_memory:.0f} | {memory / other_memory:.2f} |", flush=True)


if __name__ == "__main__":
    main()
