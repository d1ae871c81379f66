#!/usr/bin/env python3
"""Golden outputs and gradients of the official PyTorch code, for tests/model/parity_test.cpp.

    OMP_NUM_THREADS=1 /usr/bin/python3 make_uvit.py --uvit PATH/U-ViT --uvic PATH/CogAttn/U-ViC > uvit.json

Made with baofff/U-ViT ce55170 and trestad/CogAttn efecf29 on PyTorch 1.13 (CPU), in float64. Weights and inputs are not
stored: both sides compute them from a hash of their name and index (`uniform` below, and in the test). Of the
gradient of mean((out - target)^2) each parameter keeps its norm and eight sums under random signs, whose mean square
difference is an unbiased estimate of the squared distance between two gradients.
"""
import argparse
import contextlib
import importlib.util
import json
import math
import re
import sys
import types

import numpy as np
import torch

BATCH = 2
PROJECTIONS = 8

TINY = dict(img_size=8, patch_size=2, in_chans=3, embed_dim=32, depth=2, num_heads=4)
TEXT = dict(TINY, clip_dim=12, num_clip_token=5)
CASES = [
    # name, code, official keyword arguments
    ("unconditional", "uvit", TINY),
    ("class-conditional", "uvit", dict(TINY, num_classes=5)),
    ("deeper, wide patches", "uvit", dict(img_size=16, patch_size=4, in_chans=4, embed_dim=48, depth=4, num_heads=3)),
    ("time MLP", "uvit", dict(TINY, mlp_time_embed=True)),
    ("qkv bias", "uvit", dict(TINY, qkv_bias=True)),
    ("score scale", "uvit", dict(TINY, qk_scale=0.7)),
    ("no skip", "uvit", dict(TINY, skip=False)),
    ("no final convolution", "uvit", dict(TINY, conv=False)),
    ("odd width, narrow MLP", "uvit", dict(TINY, embed_dim=33, num_heads=3, mlp_ratio=2.5)),
    ("text-conditional", "uvit_t2i", TEXT),
    ("U-ViC", "uvic", dict(TEXT, depth=4, np=True)),
    ("U-ViC, other options", "uvic",
     dict(TEXT, depth=4, np=True, qkv_bias=True, mlp_time_embed=True, skip=False, conv=False)),
    ("U-ViC without negative weights", "uvic", dict(TEXT, np=False)),
]


def rearrange(x, pattern, **sizes):
    """einops.rearrange, as far as the official code uses it."""
    left, right = ([group.strip("()").split() for group in re.findall(r"\([^)]*\)|\S+", side)]
                   for side in pattern.split("->"))
    for group, length in zip(left, x.shape):
        unknown = [axis for axis in group if axis not in sizes]
        assert len(unknown) <= 1, pattern
        if unknown:
            sizes[unknown[0]] = length // math.prod(sizes[a] for a in group if a in sizes)
    axes = sum(left, [])
    x = x.reshape([sizes[a] for a in axes]).permute([axes.index(a) for a in sum(right, [])])
    return x.reshape([math.prod(sizes[a] for a in group) for group in right])


def load(path, package, module, *also):
    """libs/MODULE.py of a checkout, with einops replaced; what it lacks is looked for in the checkouts `also`."""
    einops = types.ModuleType("einops")
    einops.rearrange = rearrange
    sys.modules["einops"] = einops
    root = types.ModuleType(package)
    root.__path__ = [f"{p}/libs" for p in (path, *also)]
    sys.modules[package] = root
    spec = importlib.util.spec_from_file_location(f"{package}.{module}", f"{path}/libs/{module}.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    with contextlib.redirect_stdout(sys.stderr):  # the official code prints its attention mode
        spec.loader.exec_module(loaded)
    assert loaded.ATTENTION_MODE == "math", "needs PyTorch 1.13, where the official attention is plain tensor code"
    # The embedding is float32 by definition; a float64 network wants it in float64 afterwards.
    embedding = loaded.timestep_embedding
    loaded.timestep_embedding = lambda *args, **kwargs: embedding(*args, **kwargs).double()
    return loaded


def bits(name, count):
    """`count` 32-bit hashes: FNV-1a of the name, plus the index, mixed by MurmurHash3's finaliser."""
    seed = 2166136261
    for byte in name.encode():
        seed = ((seed ^ byte) * 16777619) & 0xFFFFFFFF
    h = (np.arange(count, dtype=np.uint64) * 0x9E3779B9 + seed) & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = ((h ^ (h >> np.uint64(shift))) * factor) & 0xFFFFFFFF
    return h ^ (h >> np.uint64(16))


def uniform(name, shape):
    """Multiples of 2^-23 in [-1, 1)."""
    h = bits(name, math.prod(shape))
    return torch.from_numpy((h >> np.uint64(8)).astype(np.float64) / 2**23 - 1).view(shape)


def weight(name, shape):
    u = uniform(name, shape)
    if "norm" in name and name.endswith("weight"):
        return (1 + 0.2 * u).float()
    if name == "pos_embed" or len(shape) == 1:
        return (0.3 * u).float()
    return (math.sqrt(3 / math.prod(shape[1:])) * u).float()


def number(x):
    return float(f"{x:.10g}")


def run(code, kwargs):
    net = code.UViT(**kwargs).double()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(weight(name, tuple(parameter.shape)))
    side = (BATCH, kwargs["in_chans"], kwargs["img_size"], kwargs["img_size"])
    inputs = [2 * uniform("x", side), (499.5 * (1 + uniform("t", (BATCH,)))).float()]
    if kwargs.get("num_classes", -1) > 0:
        inputs.append(torch.from_numpy((bits("y", BATCH) % kwargs["num_classes"]).astype(np.int64)))
    if "clip_dim" in kwargs:
        inputs.append(uniform("context", (BATCH, kwargs["num_clip_token"], kwargs["clip_dim"])))
    out = net(*inputs)
    (out - uniform("target", side)).square().mean().backward()

    gradients = {}
    for name, parameter in net.named_parameters():
        grad = parameter.grad.flatten()
        signs = uniform("signs", (PROJECTIONS, grad.numel())).sign()
        gradients[name] = [number(grad.norm()), *(number(s) for s in signs @ grad)]
    return {"output": [number(v) for v in out.flatten()], "gradients": gradients}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uvit", required=True, help="checkout of baofff/U-ViT")
    parser.add_argument("--uvic", required=True, help="folder U-ViC of a checkout of trestad/CogAttn")
    args = parser.parse_args()
    codes = {
        "uvit": load(args.uvit, "official_uvit", "uvit"),
        "uvit_t2i": load(args.uvit, "official_uvit", "uvit_t2i"),
        "uvic": load(args.uvic, "official_uvic", "uvit_t2i", args.uvit),  # U-ViC comes without its timm.py
    }
    cases = [{"name": name, "config": kwargs, **run(codes[code], kwargs)} for name, code, kwargs in CASES]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    print(f'{{"batch":{BATCH},"projections":{PROJECTIONS},"cases":[\n{lines}\n]}}')


if __name__ == "__main__":
    main()
