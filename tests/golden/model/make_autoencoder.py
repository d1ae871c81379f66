#!/usr/bin/env python3
"""Golden moments and images of the official autoencoder, for tests/model/latent/latent_parity_test.cpp.

    OMP_NUM_THREADS=2 /usr/bin/python3 make_autoencoder.py --uvit PATH/U-ViT > autoencoder.json

Made with libs/autoencoder.py of baofff/U-ViT ce55170 on PyTorch 1.13 (CPU), in float64. Weights and inputs are not stored:
both sides compute them from a hash of their name and index (make_uvit.py). Every STRIDE-th number of an output is kept, and
its norm. Networks without quant_conv (SD3, Flux) are the official encoder and decoder alone.

    ... --dump FOLDER   also writes weights and inputs of each case as .pth and .npy, and the whole outputs, for `uvic predict`
"""
import argparse
import contextlib
import importlib.util
import json
import os
import sys
import types

import numpy as np
import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from make_uvit import number, rearrange, uniform, weight  # noqa: E402

SMALL = dict(ch=32, ch_mult=[1, 2], num_res_blocks=1, z_channels=4, attn_resolutions=[])
CASES = [
    # name, official ddconfig, embed_dim (None: no quant convolutions), sides of the images, kept numbers
    ("small", SMALL, 4, (8, 12), 1),
    ("sixteen latent channels without quant convolutions",
     dict(SMALL, ch_mult=[1, 1, 2], z_channels=16), None, (16, 16), 2),
    ("attention at a level, inner channels of their own",
     dict(SMALL, ch_mult=[1, 2, 2], num_res_blocks=2, z_channels=6, attn_resolutions=[8]), 4, (16, 16), 2),
    ("autoencoder_kl.pth", dict(ch=128, ch_mult=[1, 2, 4, 4], num_res_blocks=2, z_channels=4, attn_resolutions=[]), 4,
     (32, 32), 16),
]
BATCH = 2


def load(path):
    einops = types.ModuleType("einops")
    einops.rearrange = rearrange
    sys.modules["einops"] = einops
    spec = importlib.util.spec_from_file_location("autoencoder", f"{path}/libs/autoencoder.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


class Whole(torch.nn.Module):
    """What FrozenAutoencoderKL holds, without its file."""

    def __init__(self, code, dd, embed_dim):
        super().__init__()
        dd = dict(dd, double_z=True, in_channels=3, out_ch=3, dropout=0.0, resolution=16)
        self.encoder, self.decoder = code.Encoder(**dd), code.Decoder(**dd)
        if embed_dim:
            self.quant_conv = torch.nn.Conv2d(2 * dd["z_channels"], 2 * embed_dim, 1)
            self.post_quant_conv = torch.nn.Conv2d(embed_dim, dd["z_channels"], 1)

    def moments(self, x):
        h = self.encoder(x)
        return self.quant_conv(h) if hasattr(self, "quant_conv") else h

    def decode(self, z):
        return self.decoder(self.post_quant_conv(z) if hasattr(self, "quant_conv") else z)


def kept(x, stride):
    return {"norm": number(x.norm()), "values": [number(v) for v in x.flatten()[::stride]]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uvit", required=True, help="checkout of baofff/U-ViT")
    parser.add_argument("--dump", help="folder for weights, inputs and whole outputs")
    args = parser.parse_args()
    cases = []
    with contextlib.redirect_stdout(sys.stderr), torch.no_grad():  # the official code prints its shapes
        code = load(args.uvit)
        for number_, (name, dd, embed_dim, sides, stride) in enumerate(CASES):
            net = Whole(code, dd, embed_dim).double()
            for key, parameter in net.named_parameters():
                parameter.copy_(weight(key, tuple(parameter.shape)))
            batch = 1 if stride == 16 else BATCH
            f = 2 ** (len(dd["ch_mult"]) - 1)
            x = uniform("x", (batch, 3, *sides))
            z = 2 * uniform("z", (batch, embed_dim or dd["z_channels"], sides[0] // f, sides[1] // f))
            moments, images = net.moments(x), net.decode(z)
            cases.append({"name": name, "ddconfig": dd, "embed_dim": embed_dim, "sides": sides, "stride": stride,
                          "batch": batch, "moments": kept(moments, stride), "images": kept(images, stride)})
            if args.dump:
                folder = f"{args.dump}/{number_}"
                os.makedirs(folder, exist_ok=True)
                torch.save({k: v.float() for k, v in net.state_dict().items()}, f"{folder}/weights.pth")
                for key, array in (("x", x), ("z", z), ("moments", moments), ("images", images)):
                    np.save(f"{folder}/{key}.npy", array.numpy().astype("<f4" if key in "xz" else "<f8"))
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    print(f'{{"cases":[\n{lines}\n]}}')


if __name__ == "__main__":
    main()
