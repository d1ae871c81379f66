"""Files of torch.save's zip form with objects of other libraries in them, as training programs leave them.

Needs Python alone: the classes are stand-ins under the real modules' names, the tensors are written as torch.save
writes them. Run in this folder: python3 make_foreign.py
"""

import collections
import datetime
import enum
import io
import pathlib
import pickle
import struct
import sys
import types
import zipfile


def module(name):
    parts = name.split(".")
    for i in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(".".join(parts[:i])))
    return sys.modules[name]


def put(cls, name, qualified=None):
    cls.__module__ = name
    cls.__qualname__ = cls.__name__ = qualified or cls.__name__
    setattr(module(name), cls.__name__, cls)
    return cls


def _rebuild_tensor_v2(*arguments):
    raise RuntimeError("a stand-in")


def _rebuild_parameter(*arguments):
    raise RuntimeError("a stand-in")


put(_rebuild_tensor_v2, "torch._utils")
put(_rebuild_parameter, "torch._utils")
FloatStorage = put(type("FloatStorage", (), {}), "torch")


class Storage:
    def __init__(self, key, values):
        self.key, self.values = key, values


class Tensor:
    count = 0
    storages = []

    def __init__(self, values, shape, parameter=False, stride=None):
        self.storage = Storage(str(len(Tensor.storages)), values)
        Tensor.storages.append(self.storage)
        self.shape, self.parameter = tuple(shape), parameter
        self.stride = stride
        if stride is None:
            strides, step = [], 1
            for size in reversed(self.shape):
                strides.insert(0, step)
                step *= size
            self.stride = tuple(strides)

    def __reduce__(self):
        arguments = (self.storage, 0, self.shape, self.stride, False, collections.OrderedDict())
        if self.parameter:
            plain = Tensor.__new__(Tensor)
            plain.__dict__.update(self.__dict__, parameter=False)
            return (_rebuild_parameter, (plain, True, collections.OrderedDict()))
        return (_rebuild_tensor_v2, arguments)


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return ("storage", FloatStorage, value.key, "cpu", len(value.values))


def save(path, make, protocol=2):
    Tensor.storages = []
    value = make()
    data = io.BytesIO()
    Pickler(data, protocol).dump(value)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), data.getvalue())
        for storage in Tensor.storages:
            archive.writestr(zipfile.ZipInfo("archive/data/" + storage.key),
                             struct.pack("<%df" % len(storage.values), *storage.values))
        archive.writestr(zipfile.ZipInfo("archive/version"), "3\n")


# OmegaConf: nodes that refer to their parents.
class Node:
    def __init__(self, content, parent=None):
        self._content, self._parent = content, parent


DictConfig = put(type("DictConfig", (Node,), {}), "omegaconf.dictconfig")
AnyNode = put(type("AnyNode", (Node,), {}), "omegaconf.nodes")


class EasyDict(dict):
    def __init__(self, **values):
        super().__init__(values)
        self.__dict__.update(values)


put(EasyDict, "easydict")


class ConfigDict:  # ml_collections
    def __getstate__(self):
        return {"_fields": {"lr": 0.5}, "_locked": True, "_type_safe": True}


put(ConfigDict, "ml_collections.config_dict.config_dict")


class ModelCheckpoint:
    pass


put(ModelCheckpoint, "pytorch_lightning.callbacks.model_checkpoint")
Phase = enum.Enum("Phase", {"FIT": "fit"}, module="lightning.trainer.states")
module("lightning.trainer.states").Phase = Phase
Pair = collections.namedtuple("Pair", "a b")
put(Pair, "project.types")


def foreign():
    root = DictConfig({})
    root._content = {"lr": AnyNode(1e-4, root), "model": DictConfig({"depth": AnyNode(12, root)}, root)}
    return {
        "state_dict": collections.OrderedDict(weight=Tensor([1.0, 2.0], [2]), bias=Tensor([3.0], [1])),
        "hyper_parameters": root,
        "config": EasyDict(lr=0.5, inner=EasyDict(depth=4)),
        "ml": ConfigDict(),
        "callbacks": {ModelCheckpoint: {"best": Tensor([7.0], [1]), "score": 0.25}},
        "phase": Phase.FIT,
        "args": types.SimpleNamespace(batch=16, out=pathlib.PurePosixPath("/runs/a")),
        "time": datetime.datetime(2026, 1, 31, 23, 59),
        "zone": datetime.timedelta(hours=1),
        "pair": Pair(1, Tensor([4.0], [1])),
        "epoch": 3,
    }


class Module:  # torch.nn.Module, pickled whole
    def __init__(self, parameters, modules=()):
        self.training = True
        self._parameters = collections.OrderedDict(parameters)
        self._buffers = collections.OrderedDict()
        self._modules = collections.OrderedDict(modules)


put(Module, "project.model")


def whole_module():
    inner = Module({"weight": Tensor([1.0, 2.0, 3.0, 4.0], [2, 2], parameter=True), "bias": None})
    return {"epoch": 3, "model": Module({"pos_embed": Tensor([5.0], [1], parameter=True)}, [("proj", inner)])}


def expanded():
    # 250 tensors of 2^22 floats (16 MiB) each over one float: 4 GB of a few kB.
    first = Tensor([1.0], [2048, 2048], stride=(0, 0))
    values = {}
    for i in range(250):
        values["t%03d" % i] = tensor = Tensor.__new__(Tensor)
        tensor.__dict__.update(first.__dict__)
    return values


def tied():
    shared = Tensor([1.0, 2.0], [2])
    return {"a": shared, "b": shared}


for protocol in (2, 4):
    save("foreign%d.zip.pth" % protocol, foreign, protocol)
save("whole_module.zip.pth", whole_module)
save("expanded.zip.pth", expanded)
save("tied.zip.pth", tied)
