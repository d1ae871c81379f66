#!/usr/bin/env python3
"""A training step of the official code on feature folders, for tests/app/training/latent_step_test.cpp.

    OMP_NUM_THREADS=1 /usr/bin/python3 make_latent_step.py --uvit PATH/U-ViT --uvic PATH/CogAttn/U-ViC

Writes coco_features/ and imagenet_features/ (random numbers in the layouts of scripts/extract_mscoco_feature.py and
scripts/extract_imagenet_feature.py) and latent_step.json next to this file. Made with baofff/U-ViT ce55170 and
trestad/CogAttn efecf29 on PyTorch 1.13 (CPU), in float64.

The step is the official one: FrozenAutoencoderKL.sample, Schedule and LSimple are run as they are. Only their random
numbers are given: Philox4x32-10 keyed by (seed, position, use), as base/position_random.h makes them.
"""
import argparse
import ast
import json
import os
import pathlib
import sys

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "model"))
from make_uvit import PROJECTIONS, load, number, uniform, weight  # noqa: E402

SEED, FIRST, SCALE, DROPOUT = 9, 1003, 0.23010, 0.4
CHOICES = [1, 0, 5]  # modulo the captions of each image: 1, 0, 2
CAPTIONS = [2, 1, 3]
NET = dict(img_size=8, patch_size=2, in_chans=4, embed_dim=32, depth=4, num_heads=4)
TEXT = dict(NET, clip_dim=12, num_clip_token=5)
MASK = (1 << 64) - 1


def mix64(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


KEY = mix64(mix64(SEED) ^ 0x6F626A656374)  # "object"


def philox(use, position, block):
    words = [block, use, position & 0xFFFFFFFF, position >> 32]
    key0, key1 = KEY & 0xFFFFFFFF, KEY >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * words[0], 0xCD9E8D57 * words[2]
        words = [(p1 >> 32) ^ words[1] ^ key0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ words[3] ^ key1, p0 & 0xFFFFFFFF]
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return words


def chance(use, position):
    words = philox(use, position, 0)
    return ((words[0] >> 5) * 67108864 + (words[1] >> 6)) / 2**53


def normals(use, position, shape):
    count = int(np.prod(shape))
    words = np.array([philox(use, position, block) for block in range((count + 3) // 4)], np.float64)

    def pair(first, second):
        radius = np.sqrt(-2 * np.log((np.floor(first / 2) + 0.5) / 2**31))
        angle = 2 * np.pi * second / 2**32
        return radius * np.cos(angle), radius * np.sin(angle)

    columns = [*pair(words[:, 0], words[:, 1]), *pair(words[:, 2], words[:, 3])]
    return np.concatenate(columns)[:count].reshape(shape)


NOISE, TIME, DROP, LATENT = 1, 2, 3, 4


def official_functions(path, names, scope):
    """Functions and classes of a file of the official code, without its imports."""
    tree = ast.parse(pathlib.Path(path).read_text())
    found = [node for top in tree.body for node in ([top] + (top.body if isinstance(top, ast.ClassDef) else []))
             if getattr(node, "name", None) in names]
    exec(compile(ast.Module(body=found, type_ignores=[]), path, "exec"), scope)
    return scope


def write_features():
    coco = HERE / "coco_features"
    os.makedirs(coco / "train", exist_ok=True)
    for i, captions in enumerate(CAPTIONS):
        moments = uniform(f"moments {i}", (8, 8, 8)).numpy()
        moments[4:] -= 2  # log variances
        np.save(coco / "train" / f"{i}.npy", (3 * moments).astype(np.float32))
        for k in range(captions):
            np.save(coco / "train" / f"{i}_{k}.npy", uniform(f"context {i} {k}", (5, 12)).numpy().astype(np.float32))
    np.save(coco / "empty_context.npy", uniform("empty", (5, 12)).numpy().astype(np.float32))
    imagenet = HERE / "imagenet_features"
    os.makedirs(imagenet, exist_ok=True)
    for i, label in enumerate(np.array([3, 0, 1])):
        moments = (3 * uniform(f"moments {i}", (8, 8, 8))).numpy().astype(np.float32)
        pair = np.empty(2, object)  # what NumPy before 1.24 makes of the script's tuple
        pair[0], pair[1] = moments, label
        np.save(imagenet / f"{i}.npy", pair)


def step(code, kwargs, official, contexts_or_labels, moments):
    net = code.UViT(**kwargs).double()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(weight(name, tuple(parameter.shape)))
    positions = [FIRST + i for i in range(len(moments))]
    draws = [LATENT, NOISE]

    def randn_like(x):
        use = draws.pop(0)
        return torch.from_numpy(np.stack([normals(use, p, x.shape[1:]) for p in positions])).to(x)

    def choice(values, size):
        n = np.array([values[int(chance(TIME, p) * len(values))] for p in positions])
        assert n.shape == size
        return n

    torch_randn_like, np_choice = torch.randn_like, np.random.choice
    torch.randn_like, np.random.choice = randn_like, choice
    try:
        autoencoder = type("", (), {"scale_factor": SCALE})()
        z = official["sample"](autoencoder, moments.double())
        schedule = official["Schedule"](official["stable_diffusion_beta_schedule"]())
        losses = official["LSimple"](z, net, schedule, **contexts_or_labels)
    finally:
        torch.randn_like, np.random.choice = torch_randn_like, np_choice
    losses.mean().backward()
    gradients = {}
    for name, parameter in net.named_parameters():
        grad = parameter.grad.flatten()
        signs = uniform("signs", (PROJECTIONS, grad.numel())).sign()
        gradients[name] = [number(grad.norm()), *(number(s) for s in signs @ grad)]
    return {"losses": [number(v) for v in losses], "gradients": gradients}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uvit", required=True, help="checkout of baofff/U-ViT")
    parser.add_argument("--uvic", required=True, help="folder U-ViC of a checkout of trestad/CogAttn")
    args = parser.parse_args()
    write_features()
    official = {"torch": torch, "np": np}
    official_functions(f"{args.uvit}/libs/autoencoder.py", {"sample"}, official)
    official_functions(f"{args.uvit}/train_t2i_discrete.py",
                       {"stable_diffusion_beta_schedule", "get_skip", "stp", "mos", "Schedule", "LSimple"}, official)

    coco = HERE / "coco_features"
    moments = torch.from_numpy(np.stack([np.load(coco / "train" / f"{i}.npy") for i in range(3)]))
    dropped = [chance(DROP, FIRST + i) < DROPOUT for i in range(3)]
    assert any(dropped) and not all(dropped), dropped
    paths = [coco / "train" / f"{i}_{c % n}.npy" for i, (c, n) in enumerate(zip(CHOICES, CAPTIONS))]
    contexts = [np.load(coco / "empty_context.npy" if drop else path) for path, drop in zip(paths, dropped)]
    contexts = torch.from_numpy(np.stack(contexts)).double()

    pairs = [np.load(HERE / "imagenet_features" / f"{i}.npy", allow_pickle=True) for i in range(3)]
    classes = 5  # four and the null class
    labels = torch.tensor([classes - 1 if drop else int(label) for (_, label), drop in zip(pairs, dropped)])
    latents = torch.from_numpy(np.stack([m for m, _ in pairs]))

    codes = {
        "uvit": load(args.uvit, "official_uvit", "uvit"),
        "uvit_t2i": load(args.uvit, "official_uvit", "uvit_t2i"),
        "uvic": load(args.uvic, "official_uvic", "uvit_t2i", args.uvit),
    }
    cases = [
        ("U-ViT, text", "uvit_t2i", TEXT, {"context": contexts}, moments),
        ("U-ViC, text", "uvic", dict(TEXT, np=True), {"context": contexts}, moments),
        ("U-ViT, classes", "uvit", dict(NET, num_classes=classes), {"y": labels}, latents),
    ]
    lines = ",\n".join(
        json.dumps({"name": name, "config": kwargs, **step(codes[code], kwargs, official, given, x)},
                   separators=(",", ":")) for name, code, kwargs, given, x in cases)
    (HERE / "latent_step.json").write_text(
        f'{{"seed":{SEED},"first_position":{FIRST},"latent_scale":{SCALE},"label_dropout":{DROPOUT},'
        f'"choices":{CHOICES},"dropped":{json.dumps(dropped)},"projections":{PROJECTIONS},"cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
