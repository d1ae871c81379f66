#!/usr/bin/env python3
"""How often the images of text-to-image runs on procedural-text show what their prompts say.

    bench/text_accuracy.py --uvic build/release/bin/uvic --work work runs/text_uvit runs/text_uvic

For each attribute (shape, colour, size, tone and texture of the ground) a classifier is trained by `uvic train-features` on
real images of all combinations. Each run then generates images of prompts whose combination of shape and colour was in its
training set, and of prompts whose combination was held out. The table has the share of images that each classifier finds
right. The first row is what the classifiers reach on real images.

Standard library only. What exists in the work folder is not made again.
"""
import argparse
import json
import pathlib
import random
import re
import shutil
import subprocess

SHAPES = "circle square triangle star cross ring heart moon arrow flower".split()
COLOURS = "red orange yellow lime green teal blue indigo purple pink".split()
SIZES, TONES, TEXTURES = ["small", "large"], ["light", "dark"], ["shaded", "striped", "checked", "cloudy"]
WORDS = {"shape": SHAPES, "colour": COLOURS, "size": SIZES, "tone": TONES, "texture": TEXTURES}


def is_held_out(shape, colour):  # data/procedural_captions.h
    return (shape + colour) % 5 == 0


def caption(a):
    colour, shape = COLOURS[a["colour"]], SHAPES[a["shape"]]
    return f"a {SIZES[a['size']]} {colour} {shape} on a {TONES[a['tone']]}, {TEXTURES[a['texture']]} ground"


def prompts(count, held_out):
    numbers = random.Random(f"{held_out}")
    pairs = [(s, c) for s in range(10) for c in range(10) if is_held_out(s, c) == held_out]
    chosen = []
    for i in range(count):
        shape, colour = pairs[i % len(pairs)]
        chosen.append({"shape": shape, "colour": colour, "size": numbers.randrange(2), "tone": numbers.randrange(2),
                       "texture": numbers.randrange(4)})
    return chosen


class Uvic:
    def __init__(self, program, threads):
        self.program, self.threads = program, threads

    def __call__(self, *words):
        done = subprocess.run([self.program, *map(str, words), "--threads", str(self.threads)], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.stdout


def percent(text):
    return float(re.findall(r"([0-9.]+) %", text)[-1])


def classifier(uvic, work, attribute, images):
    weights, record = work / f"{attribute}.safetensors", work / f"{attribute}.json"
    if not record.exists():
        out = uvic("train-features", "--data", f"procedural-text:all:{attribute}", "--test",
                   f"procedural-text:1:all:{attribute}", "--out", weights, "--training.images", images,
                   "--dataset.image_size", 32, "--overwrite", "true")
        record.write_text(json.dumps(percent(out)))
    return weights, json.loads(record.read_text())


def accuracies(uvic, work, run, weights, held_out, count):
    name = f"{pathlib.Path(run).name}-{'unseen' if held_out else 'seen'}"
    samples, chosen = work / name, prompts(count, held_out)
    file = work / f"{name}.txt"
    file.write_text("".join(caption(a) + "\n" for a in chosen))
    uvic("sample", "--run", run, "--prompts", file, "--seeds", f"0-{count - 1}", "--out", samples, "--grid", "false")
    labelled = work / f"{name}-labelled"  # without the record of samples, whose folders have no labels
    shutil.rmtree(labelled, ignore_errors=True)
    labelled.mkdir()
    for image in sorted(samples.glob("[0-9]*.png")):
        shutil.copy(image, labelled / image.name)
    result = {}
    for attribute, words in WORDS.items():
        labels = [[f"{i:06d}.png", a[attribute]] for i, a in enumerate(chosen)]
        (labelled / "dataset.json").write_text(json.dumps({"labels": labels, "class_names": words}))
        result[attribute] = percent(uvic("train-features", "--weights", weights[attribute], "--test", labelled,
                                         "--test_images", count, "--dataset.image_size", 32))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uvic", default="build/release/bin/uvic")
    parser.add_argument("--work", default="text_accuracy", type=pathlib.Path)
    parser.add_argument("--count", default=400, type=int, help="images of each kind and run")
    parser.add_argument("--classifier_images", default=100000, type=int)
    parser.add_argument("--threads", default=0, type=int)
    parser.add_argument("runs", nargs="+")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    uvic = Uvic(args.uvic, args.threads)
    weights, ceiling = {}, {}
    for attribute in WORDS:
        weights[attribute], ceiling[attribute] = classifier(uvic, args.work, attribute, args.classifier_images)

    def row(name, values):
        print(f"| {name} | " + " | ".join(f"{values[a]:.1f}" for a in WORDS) + " |", flush=True)

    print("| % right | " + " | ".join(WORDS) + " |\n|---|" + "---|" * len(WORDS))
    row("real images", ceiling)
    for run in args.runs:
        for held_out in (False, True):
            row(f"{pathlib.Path(run).name}, {'unseen' if held_out else 'seen'}",
                accuracies(uvic, args.work, run, weights, held_out, args.count))


if __name__ == "__main__":
    main()
