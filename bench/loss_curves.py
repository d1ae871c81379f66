#!/usr/bin/env python3
"""Trains the small networks in bf16 with the fused kernels and in fp32 with plain tensor code, and compares their losses.

    python3 bench/loss_curves.py --uvic build/release/bin/uvic --data cifar10-train.zip --out runs/loss_curves --plots docs

Runs with the same seed see the same images, times and noise, so that their difference is what the kernels and bf16 do; the
difference between seeds is the noise to judge it by. Prints a Markdown table; --plots (needs matplotlib) writes
loss_curves.svg there. Runs that are complete in --out are not repeated.
"""
import argparse
import json
import os
import statistics
import subprocess

PATHS = {"fused": ["--precision", "bf16"], "plain": ["--precision", "fp32", "--kernels", "plain"]}
NETWORKS = {"uvit": "U-ViT", "uvic": "U-ViC"}
BATCH = 64


def train(options, network, path, seed):
    out = os.path.join(options.out, f"{network}_{path}_{seed}")
    images = BATCH * options.steps
    subprocess.run(
        [options.uvic, "train", "--config", f"procedural_tiny_{network}", "--data", options.data, "--out", out, *PATHS[path],
         "--batch_size", str(BATCH), "--total_images", str(images), "--optimizer.warmup_images", str(images // 10),
         "--log_images", str(10 * BATCH), "--grid_images", "0", "--checkpoint_images", str(images), "--threads",
         str(options.threads), "--seed", str(seed)], check=True, stdout=subprocess.DEVNULL)
    with open(os.path.join(out, "stats.jsonl")) as file:
        return {row["step"]: row["loss"] for row in map(json.loads, file) if "loss" in row}


def window(curve, begin, end):
    """The mean loss of steps begin + 1 to end."""
    return statistics.mean(loss for step, loss in curve.items() if begin < step <= end)


def plot(curves, path):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "uvic", "font.size": 9})
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(1, len(curves), figsize=(8, 3), sharey=True)
    for axis, (network, paths) in zip(axes, curves.items()):
        for kind, colour, style in (("plain", "#d95f02", "-"), ("fused", "#1b6ca8", "--")):
            for seed, curve in enumerate(paths[kind]):
                label = {"plain": "plain tensor code, fp32", "fused": "fused kernels, bf16"}[kind] if seed == 0 else None
                axis.plot(list(curve), list(curve.values()), style, color=colour, linewidth=0.8, label=label)
        axis.set(title=NETWORKS[network], xlabel="step", yscale="log")
    axes[0].set_ylabel("loss, mean of 10 steps")
    axes[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uvic", default="build/release/bin/uvic")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--plots")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    curves = {network: {path: [train(options, network, path, seed) for seed in range(options.seeds)] for path in PATHS}
              for network in NETWORKS}

    print("| | steps | plain, fp32 | fused, bf16 | fused - plain, same seed | between seeds |\n|---|---|---|---|---|---|")
    for network, paths in curves.items():
        for begin in range(0, options.steps, options.steps // 5):
            end = begin + options.steps // 5
            plain, fused = ([window(curve, begin, end) for curve in paths[kind]] for kind in ("plain", "fused"))
            differences = [f - p for f, p in zip(fused, plain)]
            print(f"| {NETWORKS[network]} | {begin + 1} to {end} | {statistics.mean(plain):.5f} | {statistics.mean(fused):.5f} | "
                  f"{statistics.mean(differences):+.5f} ({min(differences):+.5f} to {max(differences):+.5f}) | "
                  f"{statistics.stdev(plain):.5f} |")
    if options.plots:
        plot(curves, os.path.join(options.plots, "loss_curves.svg"))


if __name__ == "__main__":
    main()
