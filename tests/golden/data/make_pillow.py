#!/usr/bin/env python3
"""Images resized by Pillow and cropped as the official U-ViT code does, for tests/data/pillow_resize_test.cpp.

    /usr/bin/python3 make_pillow.py --uvit PATH/U-ViT

Writes pillow.npz next to this file. Made with Pillow 9.4.0 and baofff/U-ViT ce55170.
"""
import argparse
import ast
import pathlib

import numpy as np
from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("--uvit", required=True, help="checkout of baofff/U-ViT")
args = parser.parse_args()

tree = ast.parse(pathlib.Path(args.uvit, "datasets.py").read_text())
official = {"np": np, "Image": Image}
wanted = [node for node in tree.body if getattr(node, "name", None) in ("center_crop", "center_crop_arr")]
exec(compile(ast.Module(body=wanted, type_ignores=[]), "datasets.py", "exec"), official)

random = np.random.default_rng(0)
arrays = {}
for i, (width, height) in enumerate([(37, 53), (64, 48), (20, 21), (150, 111)]):
    noise = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([255 * x / width, 255 * y / height, 127 + 127 * np.sin(x / 3 + y / 5)], -1).astype(np.uint8)
    image = np.where(((x // 8 + y // 8) % 2 == 0)[..., None], noise, smooth)
    arrays[f"image{i}"] = image
    arrays[f"lanczos{i}"] = official["center_crop"](32, 32, image)
    arrays[f"adm{i}"] = official["center_crop_arr"](Image.fromarray(image), 24)
    for name, filter_ in (("box", Image.BOX), ("bicubic", Image.BICUBIC), ("lanczos", Image.LANCZOS)):
        arrays[f"{name}{i}_29x41"] = np.array(Image.fromarray(image).resize((29, 41), filter_))
np.savez_compressed(pathlib.Path(__file__).parent / "pillow.npz", **arrays)
