#!/usr/bin/env python3
"""Golden features of OpenAI's CLIP text encoder, for tests/model/latent/clip_text_test.cpp.

    git clone https://github.com/openai/CLIP
    OMP_NUM_THREADS=1 /usr/bin/python3 make_clip_text.py CLIP > clip_text.json

Made with openai/CLIP d05afc4 on PyTorch 1.13 (CPU), in float32: model.py's CLIP.encode_text up to ln_final. "gelu" has the exact
GELU in the place of QuickGELU. Weights and tokens are not stored: both sides compute them from a hash of their name and
index (`uniform` of make_uvit.py, and hashed_weights.h).
"""
import importlib.util
import json
import math
import sys

import numpy as np
import torch

spec = importlib.util.spec_from_file_location("model", sys.argv[1] + "/clip/model.py")
official = importlib.util.module_from_spec(spec)
spec.loader.exec_module(official)

CASES = [
    dict(name="quick GELU", vocabulary=50, positions=9, width=128, layers=2, heads=2, length=9),
    dict(name="shorter than it may be", vocabulary=50, positions=9, width=64, layers=3, heads=1, length=5),
    dict(name="gelu", vocabulary=31, positions=7, width=48, layers=2, heads=4, length=7),
]


def uniform(name, shape):
    """Multiples of 2^-23 in [-1, 1)."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    h = (np.arange(math.prod(shape), dtype=np.uint64) * 0x9E3779B9 + seed) % 2**32
    h = (h ^ h >> 16) * 0x85EBCA6B % 2**32
    h = (h ^ h >> 13) * 0xC2B2AE35 % 2**32
    h = h ^ h >> 16
    return torch.from_numpy((h >> 8).astype(np.float64) / 2**23 - 1).view(shape)


def weight(name, shape):
    u = uniform(name, shape)
    if "ln_" in name and "weight" in name:
        return 1 + 0.2 * u
    if len(shape) == 1 or "embed" in name:
        return 0.3 * u
    return math.sqrt(3 / math.prod(shape[1:])) * u


results = []
for case in CASES:
    if case["name"] == "gelu":
        official.QuickGELU = torch.nn.GELU
    model = official.CLIP(8, 32, 1, 64, 16, case["positions"], case["vocabulary"], case["width"], case["heads"], case["layers"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("visual."):
                parameter.copy_(weight(name, list(parameter.shape)).float())
        ids = ((uniform("tokens", [3, case["length"]]) + 1) / 2 * case["vocabulary"]).long()
        x = model.token_embedding(ids) + model.positional_embedding[:case["length"]]
        if case["length"] < case["positions"]:  # encode_text itself takes whole sequences alone
            for block in model.transformer.resblocks:
                block.attn_mask = block.attn_mask[:case["length"], :case["length"]]
        x = model.ln_final(model.transformer(x.permute(1, 0, 2)).permute(1, 0, 2))
    results.append(dict(case, ids=ids.tolist(), norm=x.norm().item(),
                        features=[float("%.7g" % v) for v in x.flatten()[::5].tolist()]))
print("[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in results) + "\n]")
