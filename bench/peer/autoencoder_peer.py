#!/usr/bin/env python3
"""Compares `uvic bench --parts autoencoder` with a KL autoencoder in plain PyTorch, alternating, as a Markdown table.

    /usr/bin/python3 bench/peer/autoencoder_peer.py --uvic build/release/bin/uvic --rounds 3 --precision fp32,bf16

The PyTorch network has Stable Diffusion's shape (128 x (1, 2, 4, 4), 2 blocks a level, 4 latent channels) and random weights.
It is written from the architecture that docs/autoencoders.md describes, eager, channels last, float32 or bf16 weights. Each
round runs ours, then the peer, each in a process of its own.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from uvic_bench import uvic_bench


def network(torch):
    from torch import nn
    from torch.nn import functional as F

    class Resnet(nn.Module):
        def __init__(self, inner, outer):
            super().__init__()
            self.norm1, self.norm2 = nn.GroupNorm(32, inner, eps=1e-6), nn.GroupNorm(32, outer, eps=1e-6)
            self.conv1, self.conv2 = nn.Conv2d(inner, outer, 3, padding=1), nn.Conv2d(outer, outer, 3, padding=1)
            self.shortcut = nn.Conv2d(inner, outer, 1) if inner != outer else nn.Identity()

        def forward(self, x):
            h = self.conv1(F.silu(self.norm1(x)))
            return self.shortcut(x) + self.conv2(F.silu(self.norm2(h)))

    class Attention(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.norm = nn.GroupNorm(32, channels, eps=1e-6)
            self.q, self.k, self.v, self.out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

        def forward(self, x):
            h = self.norm(x)
            q, k, v = (f(h).flatten(2).transpose(1, 2) for f in (self.q, self.k, self.v))
            if hasattr(F, "scaled_dot_product_attention"):
                y = F.scaled_dot_product_attention(q, k, v)
            else:
                y = torch.softmax(q @ k.transpose(1, 2) * q.shape[-1] ** -0.5, -1) @ v
            return x + self.out(y.transpose(1, 2).reshape(x.shape))

    class Enlarge(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)

        def forward(self, x):
            return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))

    def middle():
        return [Resnet(512, 512), Attention(512), Resnet(512, 512)]

    widths = [128, 256, 512, 512]
    encoder, channels = [nn.Conv2d(3, 128, 3, padding=1)], 128
    for level, width in enumerate(widths):
        for _ in range(2):
            encoder.append(Resnet(channels, width))
            channels = width
        if level < 3:
            encoder += [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(width, width, 3, stride=2)]
    encoder += middle() + [nn.GroupNorm(32, 512, eps=1e-6), nn.SiLU(), nn.Conv2d(512, 8, 3, padding=1), nn.Conv2d(8, 8, 1)]
    decoder = [nn.Conv2d(4, 4, 1), nn.Conv2d(4, 512, 3, padding=1)] + middle()
    for level, width in reversed(list(enumerate(widths))):
        for _ in range(3):
            decoder.append(Resnet(channels, width))
            channels = width
        if level > 0:
            decoder.append(Enlarge(width))
    decoder += [nn.GroupNorm(32, 128, eps=1e-6), nn.SiLU(), nn.Conv2d(128, 3, 3, padding=1)]
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


def peer(options):
    import torch
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[options.run_peer]
    encoder, decoder = (half.eval().to(dtype).to(memory_format=torch.channels_last) for half in network(torch))
    side = options.image_size
    image = torch.rand(1, 3, side, side).mul(2).sub(1).to(dtype).to(memory_format=torch.channels_last)
    latent = torch.randn(1, 4, side // 8, side // 8).to(dtype).to(memory_format=torch.channels_last)
    result = {"parameters": sum(p.numel() for half in (encoder, decoder) for p in half.parameters())}
    with torch.inference_mode():
        for name, half, x in (("encode", encoder, image), ("decode", decoder, latent)):
            seconds = []
            for call in range(options.calls + 1):
                begin = time.perf_counter()
                half(x)
                seconds.append(time.perf_counter() - begin)
            result[name] = statistics.median(seconds[1:])
    print(json.dumps(result))


def ours(options, precision):
    rows = uvic_bench(options.uvic, "--networks", "procedural_tiny_uvit", "--parts", "autoencoder", "--precision", precision,
                      "--image_size", options.image_size, "--seconds", options.seconds, "--threads", options.threads)
    return {row["what"]: row["median_sec"] for row in rows["autoencoder"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uvic", default="build/release/bin/uvic")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--image_size", type=int, default=256)
    parser.add_argument("--precision", default="fp32,bf16")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--run_peer", choices=["fp32", "bf16"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run_peer:
        return peer(options)
    print("| | uvic, images/s | PyTorch, images/s | ratio |\n|---|---|---|---|")
    for precision in options.precision.split(","):
        rounds = []
        for _ in range(options.rounds):
            other = subprocess.run([options.python, __file__, "--run_peer", precision, "--calls", str(options.calls),
                                    "--image_size", str(options.image_size), "--threads", str(options.threads)],
                                   check=True, stdout=subprocess.PIPE, text=True).stdout
            rounds.append((ours(options, precision), json.loads(other)))
        for what in ("encode", "decode"):
            mine, other = (statistics.median(each[i][what] for each in rounds) for i in (0, 1))
            print(f"| {what}, {precision} | {1 / mine:.3f} | {1 / other:.3f} | {other / mine:.2f} |", flush=True)


if __name__ == "__main__":
    main()
