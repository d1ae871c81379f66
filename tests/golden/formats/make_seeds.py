"""A safetensors file, an npy and JSON by means other than ours. Run here: python3 make_seeds.py (NumPy 1.24)."""
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
