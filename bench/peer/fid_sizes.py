#!/usr/bin/env python3
"""Features of uvic and of the published Python tools on one folder of images of many sizes and shapes.

    PEERS=PYTORCH_FID/src:TORCH_FIDELITY:CLEAN_FID
    PYTHONPATH=$PEERS python3 bench/peer/fid_sizes.py work --uvic build/release/bin/uvic

The names are checkouts of mseitzer/pytorch-fid, toshas/torch-fidelity and GaParmar/clean-fid. Both sides read the same
PNG files, so that no JPEG decoder matters, and Inception weights made by the rule of
tests/golden/metrics/make_inception.py. Each tool decodes and resizes with its own code. The last columns are the
Frechet distance between the first and the second half of the folder, both computed by pytorch-fid's code.
Exits with 1 where an image's features differ by more than 1e-4 (relative, L2).
"""
import argparse
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests/golden/metrics"))
import make_inception as rule  # noqa: E402

LIMIT = 1e-4  # relative L2 of an image's features
MODES = ("RGB", "RGB", "RGB", "L", "RGBA", "P", "LA", "1")
FIXED = [(1, 1), (1, 299), (299, 1), (1, 4096), (4096, 1), (2, 2), (3, 5), (298, 299), (299, 299), (300, 299),
         (597, 598), (598, 598), (4096, 4096), (4096, 17), (17, 4096), (4096, 2731), (16, 256), (256, 16)]


def sizes_of(count):
    """Width and height: the fixed ones, then squares, oblongs, odd and extreme shapes."""
    random = np.random.default_rng(15)
    sizes = list(FIXED)
    while len(sizes) < count:
        kind = len(sizes) % 5
        if kind == 0:
            side = int(random.choice([8, 16, 32, 64, 128, 256, 299, 512]))
            sizes.append((side, side))
        elif kind == 1:
            sizes.append(tuple(int(x) * 2 + 1 for x in random.integers(0, 300, 2)))
        elif kind == 2:
            side = int(random.integers(16, 512))
            sizes.append((side, max(1, side // int(random.integers(2, 9)))))
        elif kind == 3:
            sizes.append(tuple(int(2 ** x) for x in random.uniform(0, 10, 2)))
        else:
            sizes.append(tuple(int(x) for x in random.integers(1, 800, 2)))
    return sizes[:count]


def image_of(index, width, height):
    """Waves, edges and grain of a mode of Pillow."""
    from PIL import Image

    random = np.random.default_rng(index)
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for _ in range(3):
        a, b, phase = random.uniform(0.5, 30, 3)
        wave = np.sin(x / max(width, 2) * a + y / max(height, 2) * b + phase)
        edges = ((x * 7 // max(width, 2)) + (y * 5 // max(height, 2))) % 2
        planes.append(127 + 70 * wave + 30 * edges + random.normal(0, 12, (height, width)))
    pixels = np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)
    image, mode = Image.fromarray(pixels), MODES[index % len(MODES)]
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(random.integers(0, 256, (height, width)).astype(np.uint8)))
    return image.convert(mode)


def prepare(work, count):
    import torch

    folder = work / "images"
    if not folder.exists():
        folder.mkdir(parents=True)
        for index, (width, height) in enumerate(sizes_of(count)):
            image_of(index, width, height).save(folder / f"{index:06d}.png", compress_level=1)
    if not (work / "inception_rule.pth").exists():
        torch.save(rule.rule_state(), work / "inception_rule.pth")
    return sorted(folder.glob("*.png"))


def of_pytorch_fid(files, state):
    from pytorch_fid.fid_score import get_activations

    network = rule.pytorch_fid_network(state)
    network.output_blocks = [3]
    # A batch of their loader must have one size.
    return get_activations([str(file) for file in files], network, batch_size=1, num_workers=0)


def of_torch_fidelity(files, state):
    import torch
    from torch_fidelity.datasets import ImagesPathDataset

    network = rule.torch_fidelity_network(state, ["2048"])
    images = ImagesPathDataset([str(file) for file in files])
    with torch.no_grad():
        return np.concatenate([network(images[i][None])[0].numpy() for i in range(len(images))])


def of_clean_fid(files, state):
    import torch
    from PIL import Image
    from cleanfid.resize import build_resizer

    network, resize = rule.pytorch_fid_network(state), build_resizer("clean")
    network.output_blocks, network.resize_input, network.normalize_input = [3], False, False
    rows = []
    with torch.no_grad():
        for file in files:  # as cleanfid.utils.ResizeDataset reads a file
            pixels = resize(np.array(Image.open(str(file)).convert("RGB")))
            rows.append(network((torch.from_numpy(pixels).permute(2, 0, 1)[None] - 128) / 128)[0].flatten(1).numpy())
    return np.concatenate(rows)


TOOLS = {"pytorch-fid": of_pytorch_fid, "tf1": of_torch_fidelity, "clean": of_clean_fid}


def theirs(work, protocol, files):
    import torch

    kept = work / f"theirs_{protocol}.npy"
    if not kept.exists():
        np.save(kept, TOOLS[protocol](files, torch.load(work / "inception_rule.pth")))
    return np.load(kept)


def ours(work, protocol, args):
    kept = work / f"ours_{protocol}.npz"
    command = [args.uvic, "fid", "--images", work / "images", "--extractor", "inception", "--protocol", protocol,
               "--inception", work / "inception_rule.pth", "--precision", "fp32", "--threads", args.threads,
               "--metrics", "all", "--save_features", kept]
    if not kept.exists():
        subprocess.run([str(word) for word in command], check=True)
    return np.load(kept)["features"]


def distance(features):
    from pytorch_fid.fid_score import calculate_frechet_distance

    halves = [np.float64(half) for half in (features[::2], features[1::2])]
    return calculate_frechet_distance(*[s for x in halves for s in (x.mean(0), np.cov(x, rowvar=False))])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--uvic", default="uvic")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    files, sizes = prepare(args.work, args.count), sizes_of(args.count)
    sides = np.array(sizes)
    print(f"{len(files)} images of {len(set(sizes))} sizes, {int((sides[:, 0] != sides[:, 1]).sum())} not square, "
          f"sides {sides.min()} to {sides.max()} px")
    print("\n| protocol | largest relative L2 | median image | at (width x height) | largest absolute | "
          "FID of theirs | of ours |\n|---|---|---|---|---|---|---|")
    worst = 0
    for protocol in TOOLS:
        begin = time.time()
        b = np.float64(theirs(args.work, protocol, files))
        middle = time.time()
        a = np.float64(ours(args.work, protocol, args))
        print(f"{protocol}: {middle - begin:.1f} s theirs, {time.time() - middle:.1f} s ours", file=sys.stderr)
        off = np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)
        where = "{} x {}".format(*sizes[int(off.argmax())])
        print(f"| {protocol} | {off.max():.1e} | {np.median(off):.1e} | {where} | {np.abs(a - b).max():.1e} | "
              f"{distance(b):.6g} | {distance(a):.6g} |", flush=True)
        worst = max(worst, off.max())
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
