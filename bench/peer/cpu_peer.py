#!/usr/bin/env python3
"""A U-ViT or U-ViC in plain PyTorch, timed as a user of the published recipe would run it: eager, bf16 autocast or fp32.

Written from the papers (U-ViT: arXiv:2209.12152; Cog Attention: arXiv:2411.07176) for comparison alone.

    /usr/bin/python3 bench/peer/cpu_peer.py --attention cog --what step --precision bf16 --batch_size 16 --calls 5

Prints one line of JSON: median seconds of a call, images/s, peak memory of the process (MiB).
"""
import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, width, heads, cog):
        super().__init__()
        self.heads, self.cog = heads, cog
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        b, l, d = x.shape
        qkv = self.qkv(x).reshape(b, l, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        # On a GPU autocast's own choice is the fast one: half-width attention kernels.
        q, k, v = (qkv if x.is_cuda else qkv.float()).unbind(0)
        if hasattr(F, "scaled_dot_product_attention") and not self.cog:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            s = q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5
            w = torch.sign(s) * torch.softmax(s.abs(), -1) if self.cog else torch.softmax(s, -1)
            y = w @ v
        return self.proj(y.transpose(1, 2).reshape(b, l, d))


class Block(nn.Module):
    def __init__(self, width, heads, cog, skip):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads, cog)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.skip_linear = nn.Linear(2 * width, width) if skip else None

    def forward(self, x, skip=None):
        if self.skip_linear is not None:
            x = self.skip_linear(torch.cat([x, skip], -1))
            x = x if x.is_cuda else x.float()  # on the CPU LayerNorm needs its own dtype
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Network(nn.Module):
    """The CIFAR-10 network of the U-ViT paper (S/2), or U-ViC's: cog in all blocks but the first and last."""

    def __init__(self, attention, size=32, patch=2, channels=3, width=512, depth=12, heads=8):
        super().__init__()
        self.width, self.patch, self.channels, self.side = width, patch, channels, size // patch
        self.patch_embed = nn.Conv2d(channels, width, patch, patch)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + self.side**2, width))
        cog = [attention == "cog" and 0 < i < depth for i in range(depth + 1)]
        half = depth // 2
        self.before = nn.ModuleList(Block(width, heads, cog[i], False) for i in range(half))
        self.middle = Block(width, heads, cog[half], False)
        self.after = nn.ModuleList(Block(width, heads, cog[half + 1 + i], True) for i in range(half))
        self.norm = nn.LayerNorm(width)
        self.decoder = nn.Linear(width, patch * patch * channels)
        self.final = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, t):
        half = self.width // 2
        angles = t[:, None] * torch.exp(-torch.arange(half, device=t.device) * (9.210340371976184 / half))
        time_token = torch.cat([angles.cos(), angles.sin()], -1)[:, None]
        h = torch.cat([time_token, self.patch_embed(x).flatten(2).transpose(1, 2)], 1) + self.pos_embed
        skips = []
        for block in self.before:
            h = block(h)
            skips.append(h)
        h = self.middle(h)
        for block in self.after:
            h = block(h, skips.pop())
        p, s, c = self.patch, self.side, self.channels
        y = self.decoder(self.norm(h))[:, 1:].reshape(-1, s, s, p, p, c).permute(0, 5, 1, 3, 2, 4)
        return self.final(y.reshape(-1, c, s * p, s * p))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attention", choices=["softmax", "cog"], default="softmax")
    parser.add_argument("--what", choices=["step", "evaluation"], default="step")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--calls", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads or __import__("os").cpu_count())
    torch.manual_seed(0)
    network = Network(options.attention)
    average = Network(options.attention).requires_grad_(False) if options.what == "step" else None
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-4, betas=(0.99, 0.999), weight_decay=0.03)
    x0 = torch.rand(options.batch_size, 3, 32, 32) * 2 - 1

    def step():
        t = torch.rand(options.batch_size)
        log_alpha = -0.25 * t**2 * (20 - 0.1) - 0.5 * t * 0.1
        alpha, sigma = log_alpha.exp(), (1 - (2 * log_alpha).exp()).sqrt()
        noise = torch.randn_like(x0)
        x_t = alpha[:, None, None, None] * x0 + sigma[:, None, None, None] * noise
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            loss = F.mse_loss(network(x_t, t * 999).float(), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for a, p in zip(average.parameters(), network.parameters()):
                a.lerp_(p, 1e-4)

    def evaluation():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            network(x0, torch.rand(options.batch_size) * 999)

    run = {"step": step, "evaluation": evaluation}[options.what]
    run()
    seconds = []
    for _ in range(options.calls):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    print(json.dumps({
        "peer": f"PyTorch {torch.__version__} eager", **vars(options), "median_sec": median,
        "images_per_sec": options.batch_size / median,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))


if __name__ == "__main__":
    main()
