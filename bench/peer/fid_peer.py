#!/usr/bin/env python3
"""Features and metrics of uvic and of the published Python tools, on the same images and weights.

    PEERS=PYTORCH_FID/src:TORCH_FIDELITY:CLEAN_FID:PRDC
    PYTHONPATH=$PEERS python3 bench/peer/fid_peer.py prepare work --zip cifar10-test.zip
    PYTHONPATH=$PEERS python3 bench/peer/fid_peer.py theirs work
    PYTHONPATH=$PEERS python3 bench/peer/fid_peer.py ours work --uvic build/release/bin/uvic
    PYTHONPATH=$PEERS python3 bench/peer/fid_peer.py table work

The names are checkouts of mseitzer/pytorch-fid, toshas/torch-fidelity, GaParmar/clean-fid and
clovaai/generative-evaluation-prdc. `prepare` writes 1,000 images to score and 1,000 others as the reference, as PNG
(so that no JPEG decoder matters), and Inception weights made by the rule of tests/golden/metrics/make_inception.py.
`theirs` and `ours` write features and metrics into `work`; `table` prints both with their relative difference.
"""
import argparse
import io
import json
import os
import pathlib
import subprocess
import sys
import time
import zipfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests/golden/metrics"))
import make_inception as rule  # noqa: E402

SIDES = ("images", "reference")
POOLS = (64, 192, 768)  # of pytorch-fid's protocol, besides 2048


def prepare(args):
    import torch
    from PIL import Image

    archive = zipfile.ZipFile(args.zip)
    names = sorted(name for name in archive.namelist() if name.endswith((".jpg", ".png")))
    chosen = names[:: len(names) // (2 * args.count)][: 2 * args.count]  # every class on both sides
    for i, name in enumerate(chosen):
        picture = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
        folder = args.work / SIDES[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{i // 2:06d}.png")
    torch.save(rule.rule_state(), args.work / "inception_rule.pth")


def pictures_of(folder):
    from PIL import Image

    files = sorted(folder.glob("*.png"))
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files]).transpose(0, 3, 1, 2)


def in_batches(images, network, size=50):
    import torch

    parts = []
    with torch.no_grad():
        for i in range(0, len(images), size):
            parts.append([y.numpy() for y in network(torch.from_numpy(images[i : i + size]))])
            print(f"{i + len(parts[-1][0])} of {len(images)}", file=sys.stderr, end="\r")
    return [np.concatenate(column) for column in zip(*parts)]


def their_features(args):
    """Per side: {name: [N, D]} of every feature set."""
    import torch

    state = torch.load(args.work / "inception_rule.pth")
    pooled = lambda x: torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
    fid = rule.pytorch_fid_network(state)
    tf1 = rule.torch_fidelity_network(state, ["2048", "logits_unbiased"])
    spatial = []
    fid.blocks[2][6].branch1x1.register_forward_hook(lambda *given: spatial.append(given[2]))  # Mixed_6d

    def run_pytorch_fid(x):
        spatial.clear()
        stages = [pooled(y) for y in fid(x / 255)]
        return stages + [spatial[0][:, :7].flatten(1)]  # the channels of ADM's sFID

    def run_clean(x):
        return [pooled(fid(rule.clean_input(x))[3])]

    for side in SIDES:
        images = pictures_of(args.work / side)
        features = {}
        names = [f"pytorch-fid/{d}" for d in (*POOLS, 2048)] + ["pytorch-fid/spatial"]
        fid.resize_input = fid.normalize_input = True
        features.update(zip(names, in_batches(images, run_pytorch_fid)))
        features.update(zip(["tf1/2048", "tf1/logits"], in_batches(images, tf1)))
        fid.resize_input = fid.normalize_input = False
        features.update(zip(["clean/2048"], in_batches(images, run_clean)))
        np.savez(args.work / f"theirs_{side}.npz", **features)


def their_metrics(args):
    import torch
    from prdc import compute_prdc
    from pytorch_fid.fid_score import calculate_frechet_distance
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_isc import isc_features_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    images, reference = (dict(np.load(args.work / f"theirs_{side}.npz")) for side in SIDES)
    found = {}

    def distance(key):
        sides = [np.float64(side[key]) for side in (images, reference)]
        return calculate_frechet_distance(*[s for x in sides for s in (x.mean(0), np.cov(x, rowvar=False))])

    for d in (*POOLS, 2048):
        found[f"pytorch-fid/{d} FID"] = distance(f"pytorch-fid/{d}"), "pytorch-fid"
    found["pytorch-fid/2048 sFID"] = distance("pytorch-fid/spatial"), "pytorch-fid's distance"
    found["clean/2048 FID"] = distance("clean/2048"), "clean-fid's input, pytorch-fid's distance"
    x, y = (torch.from_numpy(side["tf1/2048"]) for side in (images, reference))
    statistics = [fid_features_to_statistics(z) for z in (x, y)]
    found["tf1/2048 FID"] = fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"], "torch-fidelity"
    count = min(1000, len(x))
    kid = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=count, verbose=False)
    found["tf1/2048 KID"] = kid["kernel_inception_distance_mean"], "torch-fidelity"
    score = isc_features_to_metric(torch.from_numpy(images["tf1/logits"]), splits=1, shuffle=False)
    found["tf1/2048 IS"] = score["inception_score_mean"], "torch-fidelity"
    both = prc_features_to_metric(x, y, verbose=False, save_cpu_ram=False)
    for name in ("precision", "recall"):
        found[f"tf1/2048 {name}"] = both[name], "torch-fidelity"
    balls = compute_prdc(real_features=y.numpy(), fake_features=x.numpy(), nearest_k=5)
    for name in ("density", "coverage"):
        found[f"tf1/2048 {name}"] = balls[name], "prdc"
    rows = {name: {"value": float(value), "tool": tool} for name, (value, tool) in found.items()}
    (args.work / "theirs.json").write_text(json.dumps(rows, indent=1))


def theirs(args):
    import torch

    torch.set_num_threads(args.threads)
    if not (args.work / "theirs_reference.npz").exists():
        their_features(args)
    their_metrics(args)


def ours(args):
    found = {}
    runs = [("pytorch-fid", d, "fd") for d in POOLS] + [(p, 2048, "all") for p in ("pytorch-fid", "tf1", "clean")]
    for protocol, dimensions, metrics in runs:
        key = f"{protocol}/{dimensions}"
        report = args.work / "ours" / key.replace("/", "_")
        command = [args.uvic, "fid", "--images", args.work / "images", "--ref", args.work / "reference"]
        command += ["--extractor", "inception", "--inception", args.work / "inception_rule.pth"]
        command += ["--protocol", protocol, "--dimensions", dimensions, "--metrics", metrics, "--is_splits", 1]
        command += ["--precision", args.precision, "--threads", args.threads, "--report", report]
        command += ["--save_features", report / "features.npz"]
        if report.joinpath("score.json").exists() is False:
            report.mkdir(parents=True, exist_ok=True)
            subprocess.run([str(part) for part in command], check=True)
        for metric in json.loads((report / "score.json").read_text())["metrics"]:
            found[f"{key} {metric['name'].split(' (')[0]}"] = metric["value"]
    (args.work / "ours.json").write_text(json.dumps(found, indent=1))


def table(args):
    their_features = np.load(args.work / "theirs_images.npz")
    print("| features of the scored images | largest | median image |\n|---|---|---|")
    for key in their_features.files:
        protocol, what = key.split("/")
        run = f"{protocol}_{what}" if what.isdigit() else f"{protocol}_2048"
        mine = np.load(args.work / "ours" / run / "features.npz")["features" if what.isdigit() else what]
        a, b = np.float64(mine), np.float64(their_features[key])
        off = np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)
        print(f"| {key} [{b.shape[0]}, {b.shape[1]}] | {off.max():.1e} | {np.median(off):.1e} |")
    mine = json.loads((args.work / "ours.json").read_text())
    print("\n| metric | tool | theirs | ours | relative difference |\n|---|---|---|---|---|")
    for name, row in json.loads((args.work / "theirs.json").read_text()).items():
        a, b = mine[name], row["value"]
        print(f"| {name} | {row['tool']} | {b:.7g} | {a:.7g} | {abs(a - b) / max(abs(b), 1e-300):.1e} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("prepare", "theirs", "ours", "table"))
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--zip", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--uvic", default="uvic")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    begin = time.time()
    globals()[args.step](args)
    print(f"{args.step}: {time.time() - begin:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
