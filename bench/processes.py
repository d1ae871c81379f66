#!/usr/bin/env python3
"""What several processes on one machine give and cost: the tables of docs/processes.md.

    bench/processes.py weights build/release/bin/uvic    relative L2 difference of the weights after 300 steps
    bench/processes.py speed   build/release/bin/uvic    2 processes of one thread next to one process of two
    bench/processes.py wire    build/release/bin/uvic    bytes that a step sends, counted by the kernel (needs root: a network
                                                         namespace whose loopback carries nothing else)
    bench/processes.py memory  build/release/bin/uvic    most memory of a process of U-ViT-S/2, predicted and measured
    bench/processes.py sheet                             predicted time of a step for many GPUs, by arithmetic alone

Prints a table. Runs alternate where times are compared; ratios are those of neighbouring runs, and medians of them count.
"""
import argparse
import array
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TINY = ["--data", "procedural", "--dataset.image_size", "8", "--dataset.procedural_images", "200", "--model.img_size", "8",
        "--model.patch_size", "2", "--model.embed_dim", "32", "--model.depth", "4", "--model.num_heads", "2",
        "--model.num_classes", "10", "--batch_size", "16", "--optimizer.warmup_images", "320", "--ema_decay", "0.99",
        "--precision", "fp32", "--grid_images", "0", "--threads", "1"]
MIB = 1 << 20


def train(uvic, out, words, prefix=()):
    done = subprocess.run([*prefix, uvic, "train", "--out", str(out), *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr.strip().splitlines()[-1]}")
    return done.stderr


def tensors(path, prefix):
    """name -> float32 numbers of a safetensors file."""
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    found = {}
    for name, entry in header.items():
        if name.startswith(prefix) and name != "__metadata__":
            begin, end = entry["data_offsets"]
            found[name] = array.array("f", data[8 + size + begin:8 + size + end])
    return found


def distance(a, b):
    difference = sum((x - y) ** 2 for name in b for x, y in zip(a[name], b[name]))
    return (difference / sum(y * y for name in b for y in b[name])) ** 0.5


def weights(args):
    print("| network | processes | state | off one process, relative L2 | same bits again |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for network, attention in (("U-ViT", "softmax"), ("U-ViC", "cog")):
            words = [*TINY, "--model.attention", attention, "--total_images", 16 * args.steps]
            train(args.uvic, f"{scratch}/{attention}-1", words)
            one = tensors(f"{scratch}/{attention}-1/state.safetensors", "model.")
            for processes in (2, 4):
                states = {}
                for shared in ("false", "true"):
                    for run in "ab":
                        out = f"{scratch}/{attention}-{processes}-{shared}-{run}"
                        train(args.uvic, out, [*words, "--processes", processes, "--sharded_optimizer", shared])
                        states[shared, run] = tensors(f"{out}/state.safetensors", "")
                    same = states[shared, "a"] == states[shared, "b"] == states["false", "a"]
                    off = distance({k: v for k, v in states[shared, "a"].items() if k in one}, one)
                    print(f"| {network} | {processes} | {'shared' if shared == 'true' else 'whole'} | {off:.1e} | "
                          f"{'yes' if same else 'NO'} |", flush=True)


def rate(args, out, words):
    """Images a second, the median over log lines without the first."""
    train(args.uvic, out, words)
    lines = [json.loads(line) for line in open(f"{out}/stats.jsonl")]
    return statistics.median([line["images_per_sec"] for line in lines if "images_per_sec" in line][1:])


def speed(args):
    words = ["--config", args.config, "--data", "procedural", "--dataset.procedural_images", 2000, "--precision", "fp32",
             "--grid_images", 0, "--log_images", 64 * 4, "--total_images", 64 * args.steps]
    two = ["--processes", 2, "--threads", 1]
    ways = {"1 process x 2 threads": ["--threads", 2], "2 processes x 1 thread, state whole": [*two, "--sharded_optimizer", "false"],
            "the same, one bucket: nothing overlaps": [*two, "--sharded_optimizer", "false", "--bucket_mib", 100000],
            "the same, gradients in bf16": [*two, "--sharded_optimizer", "false", "--wire_precision", "bf16"],
            "state shared": [*two, "--sharded_optimizer", "true"]}
    rates = {way: [] for way in ways}
    for number in range(args.rounds):
        for way, more in ways.items():
            with tempfile.TemporaryDirectory() as scratch:
                rates[way].append(rate(args, f"{scratch}/run", [*words, *more]))
            print(f"round {number + 1}, {way}: {rates[way][-1]:.1f} images/s", file=sys.stderr, flush=True)
    first = rates["1 process x 2 threads"]
    print("| | images/s, median | ratio to the first, median | quartiles |\n|---|---|---|---|")
    for way, all_ in rates.items():
        ratios = sorted(a / b for a, b in zip(all_, first))
        quarter = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
        print(f"| {way} | {statistics.median(all_):.1f} | {statistics.median(ratios):.2f} | {quarter[0]:.2f} to {quarter[2]:.2f} |")


def wire(args):
    print("| processes | gradients | state | MiB a step that the program states | MiB a step, of all processes, by the kernel | "
          "expected: 2 (N - 1) gradients + (N - 1) shared weights |\n|---|---|---|---|---|---|")
    words = [*TINY, "--model.embed_dim", 128]
    for processes in (2, 4):
        for precision in ("fp32", "bf16"):
            for shared in ("false", "true"):
                sent, stated = {}, None
                for steps in (10, 40):
                    with tempfile.TemporaryDirectory() as scratch:
                        script = ('ip link set lo up; "$@"; code=$?; sed -n "s/^ *lo: *//p" /proc/net/dev | '
                                  'tr -s " " | cut -d " " -f 9 >"$0"; exit $code')  # bytes sent
                        said = train(args.uvic, f"{scratch}/run", [*words, "--total_images", 16 * steps, "--processes", processes,
                                                                   "--wire_precision", precision, "--sharded_optimizer", shared],
                                     prefix=["unshare", "-n", "sh", "-c", script, f"{scratch}/bytes"])
                        sent[steps] = int(open(f"{scratch}/bytes").read())
                        stated = float(re.search(r"sums ([0-9.]+) MiB", said)[1])
                        weights_ = re.search(r"sends ([0-9.]+) MiB of weights", said)
                measured = (sent[40] - sent[10]) / 30 / MIB
                expected = 2 * (processes - 1) * stated + (processes - 1) * (float(weights_[1]) if weights_ else 0)
                print(f"| {processes} | {precision} | {'shared' if shared == 'true' else 'whole'} | {stated:.2f} | {measured:.2f} | "
                      f"{expected:.2f} |", flush=True)


def peaks(command):
    """Most resident memory of each rank, MiB: VmHWM of the processes that the command starts, or its own."""
    most = {}
    job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    errors = []
    reader = threading.Thread(target=lambda: errors.extend(job.stderr))
    reader.start()
    while job.poll() is None:
        try:
            children = open(f"/proc/{job.pid}/task/{job.pid}/children").read().split()
            for pid in children or [job.pid]:
                found = re.search(r"VmHWM:\s+(\d+) kB", open(f"/proc/{pid}/status").read())
                if found:
                    most[pid] = int(found[1]) / 1024
        except OSError:
            pass
        time.sleep(0.05)
    reader.join()
    if job.returncode != 0:
        sys.exit("".join(errors[-3:]))
    return list(most.values())


def memory(args):
    print("| processes | state | tensors, predicted, MiB | process, predicted, MiB | fullest process, measured, MiB | "
          "measured / predicted |\n|---|---|---|---|---|---|")
    words = ["--config", "cifar10_uvit_small", "--data", "procedural", "--dataset.procedural_images", 100, "--batch_size", args.batch,
             "--precision", "fp32", "--grid_images", 0, "--threads", 1, "--workers", 1, "--total_images", args.batch * args.steps,
             "--checkpoint_minutes", 0]
    for processes, shared in ((1, "false"), (2, "false"), (2, "true"), (4, "false"), (4, "true")):
        more = [*words, "--sharded_optimizer", shared, *(["--processes", processes] if processes > 1 else [])]
        with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
            command = [args.uvic, "train", *map(str, more), "--out", f"{scratch}/run"]
            plan = [word for word in command if word not in ("--data", "procedural")]  # no trial step
            said = subprocess.run([*plan, "--memory", "--dry_run"], check=True, capture_output=True, text=True).stdout
            tensors_ = float(re.search(r"#\s+peak\s+([0-9.]+)", said)[1])
            whole = float(re.search(r"#\s+process.*\s([0-9.]+)\n", said)[1])
            real = max(peaks(command))
        print(f"| {processes} | {'shared' if shared == 'true' else 'whole'} | {tensors_:.0f} | {whole:.0f} | {real:.0f} | "
              f"{real / whole:.3f} |", flush=True)


def sheet(args):
    """Step = compute + what of the exchange the backward pass does not hide + the weights of a shared state."""
    def ring(bytes_, gpus, gigabytes, latency_us):  # all-reduce: Patarasuk and Yuan 2009
        return 2 * (gpus - 1) / gpus * bytes_ / (gigabytes * 1e9) * 1e3 + 2 * (gpus - 1) * latency_us * 1e-3

    def gather(bytes_, gpus, gigabytes, latency_us):
        return (gpus - 1) / gpus * bytes_ / (gigabytes * 1e9) * 1e3 + (gpus - 1) * latency_us * 1e-3

    links = (("NVLink 4, 8 GPUs of a host", 450.0, 3.0, 8), ("400 Gbit/s for each GPU", 50.0, 5.0, 0),
             ("100 Gbit/s for each GPU", 12.5, 5.0, 0))
    print("| link | GPUs | gradients | all-reduce, ms | of it not hidden, ms | step, ms | images/s | efficiency | "
          "state shared: step, ms | efficiency |\n|---|---|---|---|---|---|---|---|---|---|")
    backward = args.backward_share * args.step_ms
    for name, gigabytes, latency, most in links:
        for gpus in (8, 64, 512):
            if most and gpus > most:
                continue
            for precision, size in (("fp32", 4), ("bf16", 2)):
                exchange = ring(args.parameters * size, gpus, gigabytes, latency)
                # When the backward pass has ended, the last bucket is sent, and of bf16 the sums of the two before it.
                last = ring(min(args.bucket_mib * MIB, args.parameters * 4) * size / 4, gpus, gigabytes, latency)
                visible = max(last if size == 4 else min(2 * last, exchange), exchange - backward)
                step = args.step_ms + visible
                shared = step + gather(args.parameters * 4, gpus, gigabytes, latency)
                print(f"| {name} | {gpus} | {precision} | {exchange:.2f} | {visible:.2f} | {step:.1f} | {gpus * args.batch / step * 1e3:.0f} | "
                      f"{args.step_ms / step:.3f} | {shared:.1f} | {args.step_ms / shared:.3f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    for name, defaults in (("weights", {"steps": 300}), ("speed", {"steps": 24, "rounds": 5, "config": "procedural_tiny_uvit"}),
                           ("wire", {}), ("memory", {"steps": 2, "batch": 8, "folder": None})):
        part = parts.add_parser(name)
        part.add_argument("uvic")
        for key, value in defaults.items():
            part.add_argument(f"--{key}", type=int if isinstance(value, int) else str, default=value)
    part = parts.add_parser("sheet")
    part.add_argument("--step_ms", type=float, default=66.4, help="of one GPU, measured: U-ViT-S/2, 256 images (docs/benchmarks.md)")
    part.add_argument("--batch", type=int, default=256, help="images of one GPU in a step")
    part.add_argument("--parameters", type=int, default=44255328)
    part.add_argument("--backward_share", type=float, default=0.66, help="of the step, during which gradients can travel")
    part.add_argument("--bucket_mib", type=float, default=25)
    args = parser.parse_args()
    if getattr(args, "uvic", None):
        args.uvic = os.path.abspath(args.uvic)
    globals()[args.part](args)


main()
