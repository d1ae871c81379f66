#!/usr/bin/env python3
"""The study of recipes on CIFAR-10: which ingredients give good samples from few training images, and how few.

    bench/recipes/study.py ladder    --uvic U --work W --train cifar10-train.zip --test cifar10-test.zip
    bench/recipes/study.py goal      ...      images at which the best recipe reaches what the published one and cifar10_tiny_* have at 260,000
    bench/recipes/study.py cog       ...      the ladder and both recipes again for U-ViC
    bench/recipes/study.py attention ...      U-ViT against U-ViC, and the placements of Cog Attention, under the best recipe

Networks are those of cifar10_tiny_uvit and _uvic (3.4 M parameters). A score is FD of 2,000 samples (one seed of noise each, all
classes in equal shares, UniPC with 20 evaluations, no guidance) against the training images, by a feature network that
`uvic train-features` trains on their labels, and by the embedded one. Tables have means over training seeds with their
standard errors.

--jobs processes of one thread each. A run or score that is there is skipped and one that was interrupted goes on, so the same
command finishes the study. --list names the runs, --only chooses some, and --tables prints what there is and runs nothing.
numpy (Debian: python3-numpy).
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess

import numpy

TOTAL = 260000  # images of the published recipe
SHORT = 52000  # a fifth
SAMPLES = 2000

# U-ViT's own recipe (arXiv:2209.12152) with its warm-up (320,000 images) and average (0.9999) scaled to the length of this run.
# Without that it would have learned next to nothing.
PUBLISHED = {"batch_size": 128, "model.init": "official", "optimizer.lr": 2e-4, "optimizer.weight_decay": 0.03,
             "optimizer.beta1": 0.99, "optimizer.beta2": 0.999, "optimizer.lr_decay": "none", "optimizer.grad_clip": 0,
             "diffusion.schedule": "vp_linear", "diffusion.prediction": "eps", "diffusion.timestep_sampling": "uniform"}
# Steps from it to the config cifar10_tiny_*, each on top of the last.
OPTIMIZER = {k: v for k, v in PUBLISHED.items() if k.startswith("diffusion.")}
TINY = {}
JIT = {"diffusion.schedule": "rectified_flow", "diffusion.loss_weight": "velocity", "diffusion.logit_std": 0.8}  # times for 256 px
TIMES = {"jit": (0.8, 0.8), "edm": (-1.2, 1.2)}  # others than those of the configs: logit_mean, logit_std
FLOW = {"diffusion.schedule": "rectified_flow", "diffusion.prediction": "flow", "diffusion.logit_mean": 0}
MUON = {"optimizer.kind": "muon"}
# Each alone on top of cifar10_tiny_*.
SINGLE = {
    "jit": JIT, "flow": FLOW, "muon": MUON,
    "wsd": {"optimizer.lr_decay": "wsd"},
    "rms": {"model.norm": "rms"}, "swiglu": {"model.mlp": "swiglu"}, "rope": {"model.rope": "true"},
    "qk_norm": {"model.qk_norm": "true"}, "value_residual": {"model.value_residual": "true"},
    "contrastive": {"diffusion.contrastive_loss": 0.05}, "direction": {"diffusion.direction_loss": 0.1},
    "dispersive": {"diffusion.dispersive_loss": 0.25}, "alignment": {"diffusion.alignment_loss": 0.2},
    "tread": {"route_share": 0.5, "route_margin": 1}, "batch32": {"batch_size": 32},
    "augment": {"augment": 0.12, "model.augment_dim": 9},
    "class_tokens": {"model.class_tokens": 16, "model.class_tokens_from": 1},
}
FAST = {}  # the config cifar10_fast_*
BEFORE = {"published": PUBLISHED, "tiny": TINY}  # trained on TOTAL images, for FAST to reach
LENGTHS = [13000, 26000, 39000, 52000]


def warm_up(total):
    return {"total_images": total, "optimizer.warmup_images": total // 20, "ema_decay": 0.999, "ema_rampup": 0.1}


def ladder(net):
    """(name, config, flags, images)"""
    yield f"{net}-published", f"cifar10_tiny_{net}", PUBLISHED, SHORT
    yield f"{net}-optimizer", f"cifar10_tiny_{net}", OPTIMIZER, SHORT
    yield f"{net}-tiny", f"cifar10_tiny_{net}", TINY, SHORT
    for name, flags in SINGLE.items():
        yield f"{net}-{name}", f"cifar10_tiny_{net}", flags, SHORT
    yield f"{net}-fast", f"cifar10_fast_{net}", FAST, SHORT
    for name, (mean, std) in TIMES.items():
        yield f"{net}-fast_{name}", f"cifar10_fast_{net}", {"diffusion.logit_mean": mean, "diffusion.logit_std": std}, SHORT


def goal(net):
    for name, flags in BEFORE.items():
        yield f"{net}-{name}", f"cifar10_tiny_{net}", flags, TOTAL
    for length in LENGTHS:
        yield f"{net}-fast", f"cifar10_fast_{net}", FAST, length


def attention():
    """Of the seven blocks, the halves are three each, without the middle one."""
    yield "uvit-fast", "cifar10_fast_uvit", FAST, SHORT
    yield "uvic-fast", "cifar10_fast_uvic", FAST, SHORT
    for name, placement in {"all": "all", "first_half": "0-2", "second_half": "4-6"}.items():
        yield f"uvic-{name}", "cifar10_fast_uvic", {"model.placement": placement}, SHORT


STAGES = {"ladder": lambda: ladder("uvit"), "goal": lambda: goal("uvit"), "cog": lambda: [*ladder("uvic"), *goal("uvic")],
          "attention": attention}


def run(program, *words, log=None):
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True)
    if log:
        log.write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()[-1500:]}")
    return done.stdout


def yardsticks(options):
    """The feature networks by name, and the statistics of the training images by each."""
    network = options.work / "features.safetensors"
    if not network.exists():
        run(options.uvic, "train-features", "--data", options.train, "--test", options.test, "--test_images", 10000,
            "--training.images", 200000, "--out", network, log=options.work / "features.txt")
    for name, extractor in {"labels": network, "embedded": "embedded"}.items():
        statistics = options.work / f"{name}.npz"
        if not statistics.exists():
            run(options.uvic, "fid", "--images", options.train, "--extractor", extractor, "--save_stats", statistics)
        yield name, extractor, statistics


def score(options, weights, folder, kept):
    samples = kept.with_suffix("")
    run(options.uvic, "sample", "--run", folder, "--weights", weights, "--out", samples, "--seeds", f"0-{SAMPLES - 1}",
        "--guidance_scale", 1, "--sample.steps", 20, "--threads", 1, "--precision", "fp32")
    found = {}
    for name, extractor, statistics in yardsticks(options):
        result = json.loads(run(options.uvic, "fid", "--json", "--images", samples, "--ref", statistics,
                                "--extractor", extractor, "--threads", 1))
        found[name] = result["metrics"][0]["value"], result["metrics"][0].get("std")
    shutil.copy(samples / "grid.png", kept.with_suffix(".png"))
    kept.write_text(json.dumps(found))
    shutil.rmtree(samples)


def one_run(options, name, config, flags, images, seed):
    folder = options.work / "runs" / f"{name}-{images}-seed{seed}"
    scores = options.work / "scores"
    given = {"config": config, "data": options.train, "out": folder, "threads": 1, "seed": seed, "precision": "fp32",
             **warm_up(images), "grid_images": 0, "score_images": 0, "checkpoint_images": images // 5, "log_images": images // 50,
             "keep_states": 1, **flags}
    if not (scores / f"{folder.name}.json").exists():
        run(options.uvic, "train", *[w for k, v in given.items() for w in (f"--{k}", v)],
            log=options.work / f"{folder.name}.txt")
    curve = {}
    for weights in sorted((folder / "weights").glob("*.safetensors")):
        seen = int(weights.stem)
        last = seen >= images
        if not last and images != TOTAL:
            continue
        kept = scores / (f"{folder.name}.json" if last else f"{folder.name}-at{seen}.json")
        if not kept.exists():
            score(options, weights, folder, kept)
        curve[seen] = json.loads(kept.read_text())
    return curve


def known(options, name, images, seed):
    kept = options.work / "scores" / f"{name}-{images}-seed{seed}.json"
    return json.loads(kept.read_text()) if kept.exists() else None


def cell(values):
    if len(values) == 0:
        return ""
    text = f"{numpy.mean(values):.2f}"
    return text + (f" ± {numpy.std(values, ddof=1) / len(values) ** 0.5:.2f}" if len(values) > 1 else "")


def table(options, stage):
    seen = set()
    print("| recipe | images | seeds | FD (labels) | FD (embedded) |\n|---|---|---|---|---|")
    for name, _, _, images in STAGES[stage]():
        if (name, images) in seen:
            continue
        seen.add((name, images))
        found = [f for f in (known(options, name, images, seed) for seed in options.seeds) if f]
        if found:
            columns = [cell([f[y][0] for f in found]) for y in ("labels", "embedded")]
            print(f"| {name} | {images} | {len(found)} | {columns[0]} | {columns[1]} |")


def crossing(lengths, values, target):
    """The number of images at which the curve, linear in log images and log FD, falls to the target; infinite if it never does."""
    x, y = numpy.log(lengths), numpy.log(values)
    for i in range(len(x)):
        if y[i] <= numpy.log(target):
            if i == 0:
                return float(lengths[0])
            share = (y[i - 1] - numpy.log(target)) / (y[i - 1] - y[i])
            return float(numpy.exp(x[i - 1] + share * (x[i] - x[i - 1])))
    return numpy.inf


def gain(options, net):
    """Images of the best recipe for the final FD of another one, with the bootstrap interval over training seeds."""
    for base in BEFORE:
        for yardstick in ("labels", "embedded"):
            random = numpy.random.default_rng(0)
            target = [f[yardstick][0] for f in (known(options, f"{net}-{base}", TOTAL, s) for s in options.seeds) if f]
            curves = [[f[yardstick][0] for f in (known(options, f"{net}-fast", n, s) for n in LENGTHS) if f] for s in options.seeds]
            curves = numpy.array([c for c in curves if len(c) == len(LENGTHS)])
            if not target or len(curves) == 0:
                continue
            best = crossing(LENGTHS, numpy.exp(numpy.log(curves).mean(0)), numpy.mean(target))
            drawn = [crossing(LENGTHS, numpy.exp(numpy.log(curves[random.integers(len(curves), size=len(curves))]).mean(0)),
                              numpy.mean(random.choice(target, len(target)))) for _ in range(2000)]
            low, high = numpy.quantile(drawn, [0.025, 0.975], method="nearest")
            sure = (f"95 %: {low:.0f} to {high:.0f}" if min(len(curves), len(target)) > 1
                    else f"no interval from {len(curves)} and {len(target)} seeds")
            first = " or fewer" if best == LENGTHS[0] else ""
            reached = (f"reached after {best:.0f} images{first} ({sure}), a factor of {TOTAL / best:.1f}"
                       if best < numpy.inf else f"not reached with {LENGTHS[-1]}")
            print(f"{net}, {yardstick}: {base} {cell(target)} at {TOTAL} images, {reached}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--uvic", default="uvic")
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--train")
    parser.add_argument("--test")
    parser.add_argument("--seeds", default="0,1,2", type=lambda text: [int(s) for s in text.split(",")])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="comma-separated names of runs")
    parser.add_argument("--images", default="", type=lambda text: [int(n) for n in text.split(",") if n],
                        help="comma-separated lengths: only these")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--tables", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name} {images}" for name, _, _, images in STAGES[options.stage]()))
        return
    if not options.tables:
        if not options.train or not options.test:
            parser.error("--train and --test: CIFAR-10's images are needed")
        (options.work / "scores").mkdir(parents=True, exist_ok=True)
        list(yardsticks(options))
        chosen = [n for n in options.only.split(",") if n]
        rows = {(row[0], row[3]): row for row in STAGES[options.stage]() if not chosen or row[0] in chosen}
        rows = {key: row for key, row in rows.items() if not options.images or key[1] in options.images}
        jobs = [(*row, seed) for seed in options.seeds for row in rows.values()]
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for done in [pool.submit(one_run, options, *job) for job in jobs]:
                done.result()
    table(options, options.stage)
    if options.stage in ("goal", "cog"):
        gain(options, "uvit" if options.stage == "goal" else "uvic")


main()
