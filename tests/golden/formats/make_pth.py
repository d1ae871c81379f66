"""Files of torch.save, in zip form and as the legacy stream. Run here: python3 make_pth.py (PyTorch 1.13, NumPy 1.24)."""
import argparse
import collections
import os
import pathlib
import pickle

import numpy as np
import torch

torch.manual_seed(0)


def save(name, value):
    torch.save(value, name + ".zip.pth")
    torch.save(value, name + ".legacy.pth", _use_new_zipfile_serialization=False)


dtypes = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
          torch.uint8, torch.bool, torch.complex64, torch.complex128]
save("dtypes", {str(dtype).split(".")[1]: torch.arange(6).view(2, 3).to(dtype) for dtype in dtypes})

base = torch.arange(12, dtype=torch.float32)
save("views", {"base": base, "row": base.view(3, 4)[1], "transposed": base.view(3, 4).t(), "every_other": base[::2],
               "expanded": base[5:6].expand(4), "scalar": base[3], "empty": base[:0], "same": base})

model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.03, betas=(0.99, 0.999))
model(torch.randn(5, 3)).square().sum().backward()
optimizer.step()
state = model.state_dict()  # an OrderedDict with _metadata
save("state_dict", state)
save("training", {
    "model": state, "optimizer": optimizer.state_dict(), "step": 7, "lr": 1e-4, "best": np.float64(3.5),
    "count": np.int64(9), "name": "run", "nothing": None, "flag": True, "seed": 2**80,
    "nested": [(1, -2), {"deep": torch.full((2,), 7.0)}], "size": torch.Size([3, 4]), "array": np.arange(3),
    "device": torch.device("cpu"), "dtype": torch.float32, "set": {5}, "blob": b"\x00\xff",
    "by_name": collections.defaultdict(list, {"a": [1]}), "parameter": torch.nn.Parameter(torch.ones(2)),
    "protocol": -3.5e300, 4: "int key", "big": -(2**40)})
np.savez("training_expected.npz", **{
    **{"model." + k: v.numpy() for k, v in state.items()},
    **{f"optimizer.state.{i}.{k}": v.numpy() for i, s in optimizer.state_dict()["state"].items() for k, v in s.items()},
    "nested.1.deep": np.full(2, 7.0, dtype="float32"), "parameter": np.ones(2, dtype="float32")})

tensor, parameter = torch.arange(3), torch.nn.Parameter(torch.ones(2))
tensor.origin = parameter.origin = "a Python attribute"
torch.save({"tensor": tensor, "parameter": parameter,
            "args": argparse.Namespace(lr=0.5, out=pathlib.Path("/runs/a"))}, "attributes.zip.pth")
torch.save(torch.arange(3), "lone.zip.pth")
torch.save(state, "protocol4.zip.pth", pickle_protocol=4)


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/uvic-was-here",)


torch.save({"weight": torch.ones(1), "evil": Evil()}, "evil.zip.pth")
torch.save(model[0], "module.legacy.pth", _use_new_zipfile_serialization=False)
with open("plain.pkl", "wb") as out:
    pickle.dump({"a": 1}, out, protocol=2)
