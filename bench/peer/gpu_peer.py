#!/usr/bin/env python3
"""What PyTorch does on this GPU: training and sampling with a plain U-ViT and U-ViC, attention in all its backends, and
pytorch-fid's network.

The networks are bench/peer/cpu_peer.py's, written from the papers for comparison alone.

    python3 bench/peer/gpu_peer.py --out gpu_peer.json [--parts ceilings,attention,step,sampling,features] [--batch_size 256]

Times are medians over CUDA events after a warm-up, over several sets of inputs in turn. Each entry is measured by itself: one that
fails is written with its error and the others go on. The file is written anew after every entry, and what matters most is measured
first: a time limit costs the last entries alone.
"""
import argparse
import json
import os
import statistics
import sys
import time
import traceback
from pathlib import Path

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cpu_peer import Network  # noqa: E402


def median_ms(run, calls=30, warm_up=5):
    for i in range(warm_up):
        run(i)
    torch.cuda.synchronize()
    times = []
    for i in range(calls):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run(i)
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def without_donated_buffers():
    """Or a compiled backward refuses to run twice on one graph (retain_graph), where PyTorch is new enough to have them."""
    try:
        import torch._functorch.config as config
        config.donated_buffer = False
    except (ImportError, AttributeError):
        pass


def ceilings(_, keep):
    n = 8192
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    product = median_ms(lambda i: a @ b)
    x = torch.randn(1 << 30, device="cuda")
    y = torch.empty_like(x)
    copy = median_ms(lambda i: y.copy_(x), calls=10)
    keep({"bf16_tflops": 2 * n**3 / product * 1e-9, "copy_tb_per_sec": 2 * x.numel() * 4 / copy * 1e-9})


def cog(q, k, v):
    s = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return (torch.sign(s) * torch.softmax(s.abs().float(), -1).to(s.dtype)) @ v


def causal_cog(q, k, v):
    """The mask precedes the softmax of |s|."""
    s = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    hidden = torch.ones(s.shape[-2:], device=s.device, dtype=torch.bool).triu(1)
    return (torch.sign(s) * torch.softmax(s.abs().float().masked_fill(hidden, -torch.inf), -1).to(s.dtype)) @ v


def attention_entry(attend, batch, heads, tokens, width):
    """Forward, then backward alone, of q, k, v that are views into one projection's output, as in a network."""
    sets = []
    for _ in range(3):
        qkv = torch.randn(batch, tokens, 3, heads, width, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        sets.append((qkv, *qkv.permute(2, 0, 3, 1, 4).unbind(0)))
    grad = torch.randn(batch, heads, tokens, width, device="cuda", dtype=torch.bfloat16)

    def forward(i):
        with torch.no_grad():
            attend(*sets[i % 3][1:])

    outs = [attend(*s[1:]) for s in sets]
    forward_ms = median_ms(forward)
    backward_ms = median_ms(lambda i: torch.autograd.grad(outs[i % 3], sets[i % 3][1:], grad, retain_graph=True))
    return {"forward_ms": forward_ms, "backward_ms": backward_ms}


def attention(_, keep):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def with_backend(backend, causal):
        def attend(q, k, v):
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

        return attend

    def ways(causal):
        found = {f"softmax, {b}": with_backend(getattr(SDPBackend, b), causal)
                 for b in ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION") if hasattr(SDPBackend, b)}
        found["cog, plain tensors"] = causal_cog if causal else cog
        return found

    def compiled(causal):
        return {"cog, plain tensors, torch.compile": torch.compile(causal_cog if causal else cog, dynamic=False)}

    full = (64, 8, 257, 64), (16, 16, 1024, 64), (256, 8, 257, 64), (64, 16, 1024, 64)
    causal_shapes = (64, 16, 256, 64), (16, 16, 1024, 64), (8, 16, 4096, 64)
    found = []
    for some, causal, shapes in ((ways, False, full), (ways, True, causal_shapes), (compiled, False, full),
                                 (compiled, True, causal_shapes[:2])):
        for shape in shapes:
            torch.compiler.reset()  # it compiles a function anew for a few shapes only
            for name, attend in some(causal).items():
                entry = {"way": name, "shape": list(shape), "causal": causal}
                try:
                    entry.update(attention_entry(attend, *shape))
                except Exception as error:  # a backend that does not take the shape
                    entry["error"] = " ".join(repr(error).split())[:500]
                torch.cuda.empty_cache()
                found.append(entry)
                keep(found)


def training_step(kind, batch_size, compiled):
    torch.manual_seed(0)
    network = Network(kind).cuda()
    average = Network(kind).cuda().requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-4, betas=(0.99, 0.999), weight_decay=0.03, fused=True)
    forward = torch.compile(network, dynamic=False) if compiled else network
    batches = [torch.randint(0, 256, (batch_size, 3, 32, 32), dtype=torch.uint8).pin_memory() for _ in range(4)]

    def step(i):
        x0 = batches[i % 4].cuda(non_blocking=True).float() / 127.5 - 1
        t = torch.rand(batch_size, device="cuda")
        log_alpha = -0.25 * t**2 * (20 - 0.1) - 0.5 * t * 0.1
        alpha, sigma = log_alpha.exp(), (1 - (2 * log_alpha).exp()).sqrt()
        noise = torch.randn_like(x0)
        x_t = alpha[:, None, None, None] * x0 + sigma[:, None, None, None] * noise
        with torch.autocast("cuda", torch.bfloat16):
            loss = F.mse_loss(forward(x_t, t * 999).float(), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1e-4)

    return step


def steps(options, keep):
    found = []
    for compiled in (False, True):
        for kind in ("softmax", "cog"):
            entry = {"attention": kind, "way": "torch.compile" if compiled else "eager",
                     "batch_size": options.batch_size}
            try:
                torch.cuda.reset_peak_memory_stats()
                start = time.perf_counter()
                step = training_step(kind, options.batch_size, compiled)
                entry["step_ms"] = median_ms(step, calls=20, warm_up=6)
                entry["images_per_sec"] = options.batch_size / entry["step_ms"] * 1e3
                entry["peak_memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
                entry["total_sec"] = time.perf_counter() - start
                del step
            except Exception as error:
                entry["error"] = "".join(traceback.format_exception_only(error))[:2000]
            torch.cuda.empty_cache()
            found.append(entry)
            keep(found)


def recorded(run):
    """A CUDA graph of run(); its inputs and outputs keep their places."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph


def sampling(options, keep):
    """50 evaluations a batch, each one replay of a recorded graph, with a first-order update between them."""
    found = []
    evaluations, batch = 50, options.batch_size
    for compiled in (False, True):
        for kind in ("softmax", "cog"):
            entry = {"attention": kind, "way": ("torch.compile" if compiled else "eager") + " in a CUDA graph",
                     "batch_size": batch, "evaluations": evaluations}
            try:
                network = Network(kind).cuda().eval()
                forward = torch.compile(network, dynamic=False) if compiled else network
                x = torch.randn(batch, 3, 32, 32, device="cuda")
                t = torch.full((batch,), 500.0, device="cuda")

                def evaluate():
                    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
                        x.mul_(0.999).add_(forward(x, t).float(), alpha=-1e-3)

                graph = recorded(evaluate)

                def sample(_):
                    for i in range(evaluations):
                        t.fill_(999 - 999 * i / evaluations)
                        graph.replay()

                ms = median_ms(sample, calls=5, warm_up=1)
                entry["images_per_sec"] = batch / ms * 1e3
                del graph, network, forward
            except Exception as error:
                entry["error"] = "".join(traceback.format_exception_only(error))[:2000]
            torch.cuda.empty_cache()
            found.append(entry)
            keep(found)


def features(_, keep):
    """pytorch-fid's extraction from uint8 images that are on the GPU already: its resize, torchvision's Inception (whose
    operations and shapes are those of the FID network), features to the CPU. PyTorch's defaults: TF32 in convolutions."""
    import torchvision

    torch.backends.cudnn.allow_tf32 = True
    network = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    network.fc = torch.nn.Identity()
    network = network.cuda().eval()
    found = []
    for batch in (50, 256):
        for side in (32, 256):
            images = torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, device="cuda")

            def extract(_):
                with torch.no_grad():
                    x = F.interpolate(images.float() / 255, size=(299, 299), mode="bilinear", align_corners=False)
                    return network(2 * x - 1).cpu()

            ms = median_ms(extract, calls=10, warm_up=3)
            found.append({"batch_size": batch, "side": side, "images_per_sec": batch / ms * 1e3})
            keep(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--parts", default="ceilings,attention,step,sampling,features")
    parser.add_argument("--batch_size", type=int, default=256)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("gpu_peer.py: PyTorch sees no GPU here")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    without_donated_buffers()
    found = {"torch": torch.__version__, "device": torch.cuda.get_device_name()}

    def keep(part, value):
        found[part] = value
        Path(options.out + ".new").write_text(json.dumps(found, indent=1))
        os.replace(options.out + ".new", options.out)

    for part in options.parts.split(","):
        measure = {"ceilings": ceilings, "attention": attention, "step": steps, "sampling": sampling,
                   "features": features}[part]
        try:
            measure(options, lambda value: keep(part, value))
        except Exception as error:
            keep(part, {"error": str(error)[:2000]})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
