#!/usr/bin/env python3
"""Golden values of the resizes that come before feature networks, for images of odd, thin, tiny and large sizes.

    python3 make_resize.py resize.npz

PyTorch's F.interpolate gives pytorch-fid's input and the embedded network's; Pillow's resize of float planes gives
clean-fid's (cleanfid/resize.py: a channel at a time, mode "F", bicubic, then clipped to [0, 255]); the definition of
TensorFlow 1's ResizeBilinear (half_pixel_centers = False, align_corners = False), written out in float32 as in
tensorflow/core/kernels/resize_bilinear_op.cc, gives torch-fidelity's. Of each output every 13th row and column is kept.
Made with torch 1.13 and Pillow 9.4 of Debian 12. The images follow the rule of tests/metrics/inception_rule.h.
"""
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from make_inception import pictures

SIZES = [(1, 1), (1, 7), (5, 3), (33, 70), (299, 17), (361, 640), (298, 300), (3, 4096), (4096, 2)]  # height, width


def pytorch_fid(image):
    x = F.interpolate(image / 255, size=(299, 299), mode="bilinear", align_corners=False)
    return 2 * x - 1


def tf1(image):
    x = image.numpy().astype(np.float32)
    for axis in (3, 2):
        size = x.shape[axis]
        place = np.arange(299, dtype=np.float32) * (np.float32(size) / np.float32(299))
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, size - 1)
        shape = [1] * 4
        shape[axis] = 299
        share = (place - low.astype(np.float32)).reshape(shape)
        below, above = x.take(low, axis), x.take(high, axis)
        x = below + (above - below) * share
    return torch.from_numpy((x - 128) / 128)


def clean(image):
    planes = [
        np.asarray(Image.fromarray(plane.numpy().astype(np.float32), mode="F").resize((299, 299), Image.BICUBIC))
        for plane in image[0]
    ]
    return torch.from_numpy((np.clip(np.stack(planes), 0, 255) - 128) / 128)[None]


def embedded(image):
    return F.interpolate(image / 127.5 - 1, size=(32, 32), mode="bilinear", align_corners=False, antialias=True)


def main():
    torch.set_num_threads(1)
    golden = {}
    for height, width in SIZES:
        image = pictures(1, height, width)
        for protocol in (pytorch_fid, tf1, clean):
            golden[f"{protocol.__name__}_{height}x{width}"] = protocol(image)[0, :, ::13, ::13].float()
        golden[f"embedded_{height}x{width}"] = embedded(image)[0].float()
    np.savez_compressed(sys.argv[1], **{name: value.numpy() for name, value in golden.items()})


if __name__ == "__main__":
    main()
