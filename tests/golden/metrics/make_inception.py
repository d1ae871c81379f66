#!/usr/bin/env python3
"""Golden values of the Inception extractors, from the published tools with weights made by a rule.

    PYTHONPATH=PYTORCH_FID/src:TORCH_FIDELITY:CLEAN_FID python3 make_inception.py inception.npz

PYTORCH_FID, TORCH_FIDELITY and CLEAN_FID are checkouts of mseitzer/pytorch-fid, toshas/torch-fidelity and
GaParmar/clean-fid. Made with torch 1.13, torchvision 0.14.1 and Pillow 9.4 of Debian 12. The rule is repeated in
tests/metrics/inception_rule.h.
"""
import math
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F


def mix(x):
    """32-bit integers to 32-bit integers, scattered (lowbias32 of Chris Wellons)."""
    x = x.astype(np.uint64) & 0xFFFFFFFF
    x ^= x >> np.uint64(16)
    x = x * 0x7FEB352D & 0xFFFFFFFF
    x ^= x >> np.uint64(15)
    x = x * 0x846CA68B & 0xFFFFFFFF
    return x ^ (x >> np.uint64(16))


def name_hash(name):
    """FNV-1a."""
    h = 0x811C9DC5
    for byte in name.encode():
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return h


def weights(name, shape):
    u = (mix(np.arange(int(np.prod(shape)), dtype=np.uint64) + name_hash(name)) >> np.uint64(8)) / 2.0**24
    if name.endswith(("bn.weight", "running_var")):
        u = u + 0.5
    elif name.endswith(("bn.bias", "running_mean")):
        u = u - 0.5
    else:
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 6
        u = (2 * u - 1) * math.sqrt(6 / fan_in)
    return torch.from_numpy(u.astype(np.float32)).reshape(shape)


def pictures(n, height, width):
    """uint8 [n, 3, height, width]: blocks of 4 x 4 px with grain."""
    i, c, y, x = np.meshgrid(*(np.arange(s, dtype=np.uint64) for s in (n, 3, height, width)), indexing="ij")
    plane = (i * 3 + c) * 1000000
    block = mix(plane + y // 4 * 1000 + x // 4) % 192
    grain = mix(plane + 500000000 + y * 1000 + x) % 64
    return torch.from_numpy((block + grain).astype(np.uint8))


def rule_state():
    """Every tensor of the network; torchvision's own gives names and shapes."""
    import torchvision

    bare = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    return {
        name: value if name.endswith("num_batches_tracked") else weights(name, value.shape)
        for name, value in bare.state_dict().items()
    }


def pytorch_fid_network(state):
    import pytorch_fid.inception as module

    module.load_state_dict_from_url = lambda *_, **__: state
    return module.InceptionV3([0, 1, 2, 3]).eval()


def torch_fidelity_network(state, layers):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save(state, file.name)
        # torch 1.13 has no weights_only yet
        load = torch.load
        torch.load = lambda path, **_: load(path)
        network = FeatureExtractorInceptionV3("inception", layers, feature_extractor_weights_path=file.name)
        torch.load = load
    return network


def clean_input(images):
    from cleanfid.resize import build_resizer

    resize = build_resizer("clean")
    planes = [torch.from_numpy(resize(image.permute(1, 2, 0).numpy())).permute(2, 0, 1) for image in images]
    return (torch.stack(planes) - 128) / 128


def main():
    torch.set_num_threads(1)
    state = rule_state()
    pooled = lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1)
    small, wide, large = pictures(2, 32, 32), pictures(1, 40, 56), pictures(1, 310, 320)
    golden = {}
    with torch.no_grad():
        fid = pytorch_fid_network(state)
        spatial = []
        fid.blocks[2][6].branch1x1.register_forward_hook(lambda *args: spatial.append(args[2]))  # Mixed_6d
        outputs = [pooled(x) for x in fid(small / 255)]
        golden["pytorch_fid_64"], golden["pytorch_fid_192"], golden["pytorch_fid_768"] = (x[:1] for x in outputs[:3])
        golden["pytorch_fid_small"] = outputs[3]
        golden["pytorch_fid_spatial"] = spatial[0][:1, :7].flatten(1)
        golden["pytorch_fid_wide"] = pooled(fid(wide / 255)[3])
        golden["pytorch_fid_large"] = pooled(fid(large / 255)[3])

        tf1 = torch_fidelity_network(state, ["2048", "logits_unbiased"])
        golden["tf1_small"], golden["tf1_logits"] = tf1(small[:1])
        golden["tf1_wide"] = tf1(wide)[0]
        golden["tf1_large"] = tf1(large)[0]

        fid.resize_input = fid.normalize_input = False
        golden["clean_small"] = pooled(fid(clean_input(small[:1]))[3])
        golden["clean_wide"] = pooled(fid(clean_input(wide))[3])
        golden["clean_large"] = pooled(fid(clean_input(large))[3])
    np.savez_compressed(sys.argv[1], **{name: value.numpy() for name, value in golden.items()})
    for name, value in golden.items():
        print(name, tuple(value.shape), float(value.abs().mean()), float(value.std()))


if __name__ == "__main__":
    main()
