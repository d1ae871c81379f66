"""A safetensors file, an npy, JSON and CIFAR-10 records by means other than ours. Run here: python3 make_seeds.py (NumPy 1.24)."""
import json
import struct

import numpy as np

rng = np.random.default_rng(0)
tensors = {"weight": ("F32", rng.standard_normal((2, 3)).astype("<f4")), "bias": ("F16", np.arange(3, dtype="<f2")),
           "step": ("I64", np.int64(7)), "mask": ("BOOL", np.array([True, False]))}
header, at = {"__metadata__": {"format": "pt"}}, 0
for name, (dtype, array) in tensors.items():
    header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
    at += array.nbytes
text = json.dumps(header).encode()
with open("python.safetensors", "wb") as out:
    out.write(struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for _, array in tensors.values()))

np.save("fortran.npy", np.asfortranarray(np.arange(6.0).reshape(2, 3)))
with open("dataset.json", "w") as out:
    json.dump({"labels": [["00000/img00000000.png", 6], ["00000/img00000001.png", 9], ["\u00e9.png", None]]}, out)
with open("edm_dataset.json", "w") as out:
    json.dump({"labels": [["00000/img00000000.png", 1], ["00000/img00000001.png", 0], ["00000/img00000002.png", 2]],
               "class_names": ["cat", "dog", "ship"]}, out)

# Two records, a class byte and three planes of 32 x 32 each, then the class names that the fuzz target takes from the rest.
records = np.concatenate([np.concatenate([[label], np.tile(np.arange(32) * 8, 96)]) for label in (3, 9)]).astype(np.uint8)
with open("cifar10_records.bin", "wb") as out:
    out.write(records.tobytes())
with open("cifar10_names.bin", "wb") as out:
    out.write(records.tobytes() + "".join(f"class {i}\n" for i in range(10)).encode())
