#!/usr/bin/env python3
"""Whether a feature network trained on labels of real images ranks known damage as it should, next to the embedded one.

    bench/yardstick.py --uvic build/release/bin/uvic --work work --train cifar10-train.zip --test cifar10-test.zip [--run RUN]

`uvic train-features` trains the network on the labels of --train. Copies of --test are blurred, made noisy, compressed by JPEG,
or lack classes, in three strengths each; with --run, samples of all its checkpoints are scored too. The table has FD by both
networks against --train, and the rank correlation of the two (Spearman's) over all rows. In each kind FD must rise with the
damage.

numpy and Pillow (Debian: python3-numpy, python3-pil). What exists in the work folder is not made again.
"""
import argparse
import io
import json
import pathlib
import subprocess
import zipfile

import numpy
from PIL import Image, ImageFilter


def uvic(program, *words):
    done = subprocess.run([program, "--json", *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def images_of(archive):
    """uint8 [N, H, W, 3], and the class of each by the name of its folder."""
    with zipfile.ZipFile(archive) as file:
        names = sorted(n for n in file.namelist() if n.lower().endswith((".png", ".jpg", ".jpeg")))
        pixels = [numpy.asarray(Image.open(io.BytesIO(file.read(n))).convert("RGB")) for n in names]
    return numpy.stack(pixels), numpy.array([n.split("/")[-2] for n in names])


def each(images, change):
    return numpy.stack([numpy.asarray(change(Image.fromarray(image))) for image in images])


def as_jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def ladder(images, classes):
    """(kind, strength, images), each kind from weak to strong."""
    yield "none", "", images
    for sigma in (0.4, 0.7, 1.2):
        yield "blur", f"sigma {sigma} px", each(images, lambda i: i.filter(ImageFilter.GaussianBlur(sigma)))
    random = numpy.random.default_rng(0)
    for deviation in (4, 12, 32):
        noisy = images + random.normal(0, deviation, images.shape)
        yield "noise", f"std {deviation} of 255", numpy.clip(numpy.rint(noisy), 0, 255).astype(numpy.uint8)
    for quality in (60, 30, 10):
        yield "JPEG", f"quality {quality}", each(images, lambda i: as_jpeg(i, quality))
    names = sorted(set(classes))
    for kept in (8, 5, 2):  # of ten; as many images, so that the bias of FD is the same
        chosen = numpy.flatnonzero(numpy.isin(classes, names[:kept]))
        yield "classes left out", f"{kept} of {len(names)} left", images[random.choice(chosen, len(images))]


def ranks(values):
    return numpy.argsort(numpy.argsort(values))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uvic", required=True)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--training_images", type=int, default=200000)
    parser.add_argument("--run", help="a run folder, whose checkpoints are scored")
    parser.add_argument("--samples", type=int, default=5000, help="samples of each checkpoint")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    network = options.work / "features.safetensors"
    if not network.exists():
        command = ["train-features", "--data", options.train, "--test", options.test, "--test_images", 10000, "--out", network]
        done = subprocess.run([options.uvic, *map(str, command), "--training.images", str(options.training_images)],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stderr.strip())
        (options.work / "features.txt").write_text(done.stdout + done.stderr)
    print((options.work / "features.txt").read_text().strip().splitlines()[-1])

    extractors = {"labels": network, "embedded": "embedded"}
    for name, extractor in extractors.items():
        if not (options.work / f"{name}.npz").exists():
            uvic(options.uvic, "fid", "--images", options.train, "--extractor", extractor,
                 "--save_stats", options.work / f"{name}.npz")

    def score(row, *source):
        kept = options.work / f"{row}.json"
        if not kept.exists():
            found = {name: uvic(options.uvic, "fid", *source, "--ref", options.work / f"{name}.npz", "--extractor", extractor)
                     for name, extractor in extractors.items()}
            kept.write_text(json.dumps(found))
        found = json.loads(kept.read_text())
        metrics = [found[name]["metrics"][0] for name in extractors]
        return [m["value"] for m in metrics], [m.get("std") or 0 for m in metrics]

    print("\n| damage | strength | FD (labels) | FD (embedded) |\n|---|---|---|---|")
    values, rises = [], {}
    images, classes = images_of(options.test)
    for number, (kind, strength, damaged) in enumerate(ladder(images, classes)):
        array = options.work / f"damage{number}.npy"
        if not (options.work / f"damage{number}.json").exists():
            numpy.save(array, damaged)
        value, error = score(f"damage{number}", "--images", array)
        array.unlink(missing_ok=True)
        values.append(value)
        rises.setdefault(kind, [values[0]]).append(value)
        cells = " | ".join(f"{v:.3f} ± {e:.3f}" for v, e in zip(value, error))
        print(f"| {kind} | {strength} | {cells} |", flush=True)
    if options.run:
        for weights in sorted(pathlib.Path(options.run, "weights").glob("*.safetensors")):
            value, error = score(f"run{weights.stem}", "--run", options.run, "--run_weights", weights,
                                 "--seeds", f"0-{options.samples - 1}")
            values.append(value)
            cells = " | ".join(f"{v:.3f} ± {e:.3f}" for v, e in zip(value, error))
            print(f"| network | after {int(weights.stem)} images | {cells} |", flush=True)
    table = numpy.array(values)
    print(f"\nrank correlation of the two over {len(table)} rows: "
          f"{numpy.corrcoef(ranks(table[:, 0]), ranks(table[:, 1]))[0, 1]:.3f}")
    for kind, steps in rises.items():
        if kind != "none":
            grows = [bool((numpy.diff([s[i] for s in steps]) > 0).all()) for i in range(2)]
            print(f"{kind}: FD rises with the damage by labels {grows[0]}, embedded {grows[1]}")


main()
