"""The other side of interop_test.cpp: files made, and ours read back, by PyTorch and NumPy.

    interop.py make FOLDER    writes state.zip.pth, state.legacy.pth and expected.npz (bfloat16 as float32)
    interop.py check FOLDER   reads ours.pth, ours.safetensors, ours.npz, ours.npy and ours.zip and compares
"""
import json
import os
import struct
import sys
import zipfile

import numpy as np
import torch

folder = sys.argv[2]
path = lambda name: os.path.join(folder, name)


def uvit_state(dim=48, depth=4, context=False):
    """Names and shapes of an official U-ViT state_dict, random values."""
    tokens = 16 + (1 + 7 if context else 2)
    shapes = {"pos_embed": (1, tokens, dim), "patch_embed.proj.weight": (dim, 3, 2, 2), "patch_embed.proj.bias": (dim,)}
    shapes.update({"context_embed.weight": (dim, 20), "context_embed.bias": (dim,)} if context
                  else {"label_emb.weight": (11, dim)})
    names = [f"in_blocks.{i}" for i in range(depth // 2)] + ["mid_block"] + [f"out_blocks.{i}" for i in range(depth // 2)]
    for block in names:
        for norm in ["norm1", "norm2"]:
            shapes.update({f"{block}.{norm}.weight": (dim,), f"{block}.{norm}.bias": (dim,)})
        shapes.update({f"{block}.attn.qkv.weight": (3 * dim, dim), f"{block}.attn.proj.weight": (dim, dim),
                       f"{block}.attn.proj.bias": (dim,), f"{block}.mlp.fc1.weight": (4 * dim, dim),
                       f"{block}.mlp.fc1.bias": (4 * dim,), f"{block}.mlp.fc2.weight": (dim, 4 * dim),
                       f"{block}.mlp.fc2.bias": (dim,)})
        if block.startswith("out"):
            shapes.update({f"{block}.skip_linear.weight": (dim, 2 * dim), f"{block}.skip_linear.bias": (dim,)})
    shapes.update({"norm.weight": (dim,), "norm.bias": (dim,), "decoder_pred.weight": (12, dim),
                   "decoder_pred.bias": (12,), "final_layer.weight": (3, 3, 3, 3), "final_layer.bias": (3,)})
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def flat(value, prefix, out):
    if isinstance(value, torch.Tensor):
        value = value.detach()
        out[prefix] = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    elif isinstance(value, dict):
        for key, item in value.items():
            flat(item, f"{prefix}.{key}" if prefix else str(key), out)
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            flat(item, f"{prefix}.{i}", out)


def make():
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(31, 17), torch.nn.LayerNorm(17), torch.nn.Linear(17, 5, bias=False))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4, betas=(0.99, 0.999), weight_decay=0.03, amsgrad=True)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 31)).square().mean().backward()
        optimizer.step()
    base = torch.randn(6, 7, 8)
    value = {"uvit": uvit_state(), "uvic": uvit_state(context=True), "half": {k: v.half() for k, v in uvit_state(16, 2).items()},
             "bf16": {k: v.bfloat16() for k, v in uvit_state(16, 2).items()}, "model": model.state_dict(),
             "optimizer": optimizer.state_dict(), "parameters": list(model.parameters()),
             "views": [base, base.permute(2, 0, 1), base[1:5:2, ::3], base[2].expand(4, 7, 8), base.double(), base > 0],
             "lr_scheduler": {"base_lrs": [2e-4], "last_epoch": 3, "lr_lambdas": [None]}, "step": 3}
    torch.save(value, path("state.zip.pth"))
    torch.save(value, path("state.legacy.pth"), _use_new_zipfile_serialization=False)
    expected = {}
    flat(value, "", expected)
    np.savez(path("expected.npz"), **expected)


def read_safetensors(name):
    types = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "BOOL": "?"}
    with open(path(name), "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    metadata = header.pop("__metadata__")
    arrays, bf16 = {}, 0
    for key, row in header.items():
        raw = data[slice(*row["data_offsets"])]
        if row["dtype"] == "BF16":
            bf16 += 1
            array = (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
        else:
            array = np.frombuffer(raw, types[row["dtype"]])
        arrays[key] = array.reshape(row["shape"])
    assert bf16 > 0 and metadata["step"] == "3", (bf16, metadata)
    return arrays


def check():
    expected = dict(np.load(path("expected.npz")))
    loaded = {}
    flat(torch.load(path("ours.pth")), "", loaded)
    for name, arrays in [("ours.pth", loaded), ("ours.safetensors", read_safetensors("ours.safetensors")),
                         ("ours.npz", dict(np.load(path("ours.npz"))))]:
        assert arrays.keys() == expected.keys(), (name, arrays.keys() ^ expected.keys())
        for key, array in arrays.items():
            assert array.shape == expected[key].shape, (name, key, array.shape)
            assert array.dtype == expected[key].dtype, (name, key, array.dtype)
            assert np.array_equal(array, expected[key]), (name, key)
    state = torch.load(path("ours.pth"))
    assert state["views.1"].stride() == (1, 56, 8) and state["views.1"].data_ptr() == state["views.0"].data_ptr()
    assert state["bf16.pos_embed"].dtype == torch.bfloat16
    assert np.array_equal(np.load(path("ours.npy")), expected["uvit.pos_embed"])
    with zipfile.ZipFile(path("ours.zip")) as archive:
        assert archive.testzip() is None and archive.read("folder/\u00e9.txt") == b"content"


{"make": make, "check": check}[sys.argv[1]]()
