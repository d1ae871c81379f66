#!/usr/bin/env python3
"""Images/s of feature extraction and seconds of the Frechet distance: uvic and pytorch-fid in turn.

    PYTHONPATH=PYTORCH_FID/src python3 bench/peer/fid_speed.py work --uvic build/release/bin/uvic

`work` is the folder that `fid_peer.py prepare` made. Both read PNG files from disk, decode and resize them, and run the
same Inception weights with as many threads; loading the network is not counted, on either side. Prints every round and
the medians.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests/golden/metrics"))
import make_inception as rule  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--uvic", default="uvic")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="*", default=[32, 256])
    parser.add_argument("--only", choices=("extraction", "distance"))
    args = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    from pytorch_fid.fid_score import calculate_frechet_distance, get_activations

    weights = args.work / "inception_rule.pth"
    network = rule.pytorch_fid_network(torch.load(weights))
    network.output_blocks = [3]

    folders = {}
    for size in args.sizes:
        folders[size] = args.work / f"speed_{size}"
        folders[size].mkdir(exist_ok=True)
        for i, file in enumerate(sorted((args.work / "images").glob("*.png"))[: args.count]):
            Image.open(file).resize((size, size), Image.BICUBIC).save(folders[size] / f"{i:06d}.png")

    def theirs(size):
        files = sorted(folders[size].glob("*.png"))
        begin = time.perf_counter()
        get_activations(files, network, batch_size=50, dims=2048, device="cpu", num_workers=threads)
        return len(files) / (time.perf_counter() - begin)

    def uvic(*flags):
        report = args.work / "speed_report"
        command = [args.uvic, "fid", "--extractor", "inception", "--inception", weights, "--report", report, *flags]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return json.loads((report / "score.json").read_text())

    reference = args.work / "speed_reference.npz"
    random = np.random.default_rng(0)
    gaussians = []
    for name in ("a", "b"):
        rows = random.standard_normal((5000, 2048)) @ (random.standard_normal((2048, 2048)) / 64) + random.standard_normal(2048)
        gaussians.append((rows.mean(0), np.cov(rows, rowvar=False)))
        np.savez(args.work / f"speed_{name}.npz", mu=gaussians[-1][0], sigma=gaussians[-1][1])
    np.savez(reference, mu=gaussians[0][0], sigma=gaussians[0][1])

    def ours(size, precision):
        return uvic("--images", folders[size], "--ref", reference, "--precision", precision)["images_per_sec"]

    def report(name, values, unit):
        shown = ", ".join(f"{value:.2f}" for value in values)
        print(f"{name:<28} median {statistics.median(values):.2f} {unit} ({shown})", flush=True)

    if args.only != "distance":
        for size in args.sizes:
            rounds = [(theirs(size), ours(size, "fp32"), ours(size, "bf16")) for _ in range(args.rounds)]
            for name, values in zip(("pytorch-fid", "uvic fp32", "uvic bf16"), zip(*rounds)):
                report(f"{size} px {name}", values, "images/s")
    if args.only != "extraction":
        rounds = []
        for _ in range(args.rounds):
            begin = time.perf_counter()
            theirs_value = calculate_frechet_distance(*gaussians[1], *gaussians[0])
            seconds = time.perf_counter() - begin
            score = uvic("--images", args.work / "speed_b.npz", "--ref", args.work / "speed_a.npz")
            rounds.append((seconds, score["score_sec"]))
        for name, values in zip(("pytorch-fid", "uvic"), zip(*rounds)):
            report(f"distance at 2048, {name}", values, "s")
        print(f"distance: pytorch-fid {theirs_value:.9g}, uvic {score['metrics'][0]['value']:.9g}")


if __name__ == "__main__":
    main()
