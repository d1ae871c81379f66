#!/usr/bin/env python3
"""A training folder as the official U-ViC code saves it, and what its network gives, for tests/app and tests/cli.

    OMP_NUM_THREADS=1 /usr/bin/python3 make_checkpoint.py --uvit PATH/U-ViT --uvic PATH/CogAttn/U-ViC

Made with baofff/U-ViT ce55170 and trestad/CogAttn efecf29 on PyTorch 1.13 (CPU): 20.ckpt/ after three AdamW steps (its
step.pth says 20), official.npz with one evaluation of the average: inputs, output in float32 and float64, and the float64
gradient of mean((out - target)^2), rounded to float32.
"""
import argparse
import copy
import pathlib
import sys

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "model"))
import make_uvit  # noqa: E402

SHAPE = dict(img_size=8, patch_size=4, in_chans=4, embed_dim=8, depth=2, num_heads=2, clip_dim=6, num_clip_token=3, np=True)
BATCH = 2


def evaluate(code, net, dtype, x, t, context, target):
    code.timestep_embedding = lambda *args: make_uvit_embedding(*args).to(dtype)
    net = copy.deepcopy(net).to(dtype)
    out = net(x.to(dtype), t, context.to(dtype))
    (out - target.to(dtype)).square().mean().backward()
    return out.detach().numpy(), {name: p.grad.float().numpy() for name, p in net.named_parameters()}


def main():
    global make_uvit_embedding
    parser = argparse.ArgumentParser()
    parser.add_argument("--uvit", required=True, help="checkout of baofff/U-ViT")
    parser.add_argument("--uvic", required=True, help="folder U-ViC of a checkout of trestad/CogAttn")
    args = parser.parse_args()
    code = make_uvit.load(args.uvic, "official_uvic", "uvit_t2i", args.uvit)
    make_uvit_embedding = code.timestep_embedding
    code.timestep_embedding = lambda *a: make_uvit_embedding(*a).float()

    torch.manual_seed(5)
    net = code.UViT(**SHAPE)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    ema = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.03, betas=(0.9, 0.9))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step / 2, 1))

    def draw():
        return (torch.randn(BATCH, 4, 8, 8), 999 * torch.rand(BATCH), torch.randn(BATCH, 3, 6), torch.randn(BATCH, 4, 8, 8))

    for _ in range(3):
        x, t, context, target = draw()
        optimizer.zero_grad()
        (net(x, t, context) - target).square().mean().backward()
        optimizer.step()
        scheduler.step()
        with torch.no_grad():
            for average, parameter in zip(ema.parameters(), net.parameters()):
                average.mul_(0.9).add_(0.1 * parameter)

    folder = pathlib.Path("20.ckpt")
    folder.mkdir(exist_ok=True)
    for name, value in (("step", 20), ("nnet", net.state_dict()), ("nnet_ema", ema.state_dict()),
                        ("optimizer", optimizer.state_dict()), ("lr_scheduler", {"last_epoch": 3, "_step_count": 4})):
        torch.save(value, folder / f"{name}.pth")

    x, t, context, target = draw()
    output, _ = evaluate(code, ema, torch.float32, x, t, context, target)
    output64, gradients = evaluate(code, ema, torch.float64, x, t, context, target)
    np.savez("official.npz", x=x, t=t, context=context, target=target, output=output, output64=output64,
             **{f"gradient.{name}": gradient for name, gradient in gradients.items()})


if __name__ == "__main__":
    main()
