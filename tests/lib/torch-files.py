# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes files as torch.save of old and new PyTorch and the scripts of people
write them, without PyTorch: torch-files.py SAFETENSORS.  Numbers are those of
the safetensors file given (f32 and i64)."""
import argparse
import collections
import datetime
import decimal
import io
import json
import pathlib
import pickle
import struct
import sys
import types
import zipfile


def module(name, **content):
    for i, c in enumerate(name + "."):
        if c == ".":
            sys.modules.setdefault(name[:i], types.ModuleType(name[:i]))
    m = sys.modules[name]
    for key, value in content.items():
        value.__module__ = name
        value.__qualname__ = value.__name__ = key
        setattr(m, key, value)


def function():
    return lambda *args: None


module("torch", **{n + "Storage": type(n, (), {}) for n in
                   ("Float", "Long", "Half", "BFloat16", "Short")})
module("torch._utils", _rebuild_tensor=function(),
       _rebuild_tensor_v2=function(), _rebuild_parameter=function())
module("numpy.core.multiarray", scalar=function())
module("torch.optim.lr_scheduler", StepLR=type("StepLR", (), {}))
module("net", Net=type("Net", (), {}))
import torch                           # noqa: E402  (the one above)

SIZES = {"Float": 4, "Long": 8, "Half": 2, "BFloat16": 2, "Short": 2}


class Storage:
    def __init__(self, kind, data, view=None):
        self.kind, self.data, self.view = kind, data, view
        self.key = None
        self.numel = len(data) // SIZES[kind]


class Tensor:
    old = False                        # _rebuild_tensor, as before 0.4

    def __init__(self, kind, data, shape, storage=None, offset=0):
        self.storage = storage or Storage(kind, data)
        self.offset, self.shape = offset, tuple(shape)

    def __reduce_ex__(self, protocol):
        stride, n = [], 1
        for d in reversed(self.shape):
            stride.insert(0, n)
            n *= d
        args = (self.storage, self.offset, self.shape, tuple(stride))
        if self.old:
            return torch_utils._rebuild_tensor, args
        return (torch_utils._rebuild_tensor_v2,
                args + (False, collections.OrderedDict()))


torch_utils = sys.modules["torch._utils"]


class Foreign:
    """Whatever pickle makes of REDUCED."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce_ex__(self, protocol):
        return self.reduced


class Pickler(pickle._Pickler):
    """In Python, whose memo and persistent_id can be seen to."""

    def __init__(self, out, protocol, place):
        super().__init__(out, protocol)
        self.place, self.storages = place, []

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        if obj.key is None:
            obj.key = str(94020255495056 + 64 * len(self.storages))
            self.storages.append(obj)
        id_ = ("storage", getattr(torch, obj.kind + "Storage"), obj.key,
               self.place, obj.numel)
        return id_ + (obj.view,) if self.place != "new" else id_


def dump(obj, protocol, place):
    out = io.BytesIO()
    p = Pickler(out, protocol, place)
    p.dump(obj)
    return out.getvalue(), p.storages


def new(name, obj, protocol=2, big=None, more=()):
    text, storages = dump(obj, protocol, "new")
    with zipfile.ZipFile(name, "w") as z:
        z.writestr("archive/data.pkl", text)
        if big is not None:
            z.writestr("archive/byteorder", "big" if big else "little")
        for s in storages:
            data = s.data
            if big:
                k = SIZES[s.kind]
                data = b"".join(data[i:i + k][::-1]
                                for i in range(0, len(data), k))
            z.writestr("archive/data/" + s.key, data)
            s.key = None
        for n in more:
            z.writestr(n, b"text")


def old(name, obj, protocol=2, little=True):
    text, storages = dump(obj, protocol, "cuda:0")
    with open(name, "wb") as out:
        for i in (0x1950a86a20f9469cfc6c, 1001,
                  {"protocol_version": 1001, "little_endian": little,
                   "type_sizes": {"short": 2, "int": 4, "long": 4}}):
            pickle.dump(i, out, protocol)
        out.write(text)
        pickle.dump(sorted(s.key for s in storages), out, protocol)
        for s in sorted(storages, key=lambda s: s.key):
            out.write(struct.pack("<q", s.numel) + s.data)
            s.key = None


def read(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    state = collections.OrderedDict()
    for name, t in json.loads(data[8:8 + n]).items():
        if name == "__metadata__":
            continue
        a, b = t["data_offsets"]
        state[name] = Tensor({"F32": "Float", "I64": "Long"}[t["dtype"]],
                             data[8 + n + a:8 + n + b], t["shape"])
    return state


def prefixed(state, prefix):
    return collections.OrderedDict((prefix + k, v) for k, v in state.items())


def narrow(state, kind):
    """With weights of 2 bytes, of which the test's numbers need no more."""
    out = collections.OrderedDict()
    for name, t in state.items():
        data = t.storage.data
        if t.storage.kind == "Float":
            if kind == "Half":
                x = struct.unpack("<%df" % (len(data) // 4), data)
                data = struct.pack("<%de" % len(x), *x)
            else:
                assert all(data[i:i + 2] == b"\0\0"
                           for i in range(0, len(data), 4))
                data = b"".join(data[i + 2:i + 4]
                                for i in range(0, len(data), 4))
            t = Tensor(kind, data, t.shape)
        out[name] = t
    return out


def beside(state):
    """A checkpoint of a training script."""
    scheduler = sys.modules["torch.optim.lr_scheduler"].StepLR()
    scheduler.step_size, scheduler.gamma = 30, 0.1
    scalar = sys.modules["numpy.core.multiarray"].scalar
    moments = {0: {"step": 7, "exp_avg": Tensor("Float", bytes(16), (4,))}}
    return {"epoch": 3, "args": argparse.Namespace(lr=0.1, model="cnn"),
            "best": Foreign(scalar, ("f8", bytes(8))),
            "path": pathlib.PurePosixPath("/a/b"), "seed": 2 ** 100,
            "when": datetime.datetime(2020, 1, 2, 3), "minus": -5,
            "tags": {1, "x", (2, 3)}, "frozen": frozenset([1]),
            "queue": collections.deque([1, 2]), "z": 1 + 2j, "none": None,
            "counts": collections.Counter("abca"), "raw": bytes(300),
            "array": bytearray(b"xyz"), "money": decimal.Decimal("1.5"),
            "default": collections.defaultdict(list, a=[1]),
            "range": range(3), "long": "ä" * 300, "type": decimal.Decimal,
            "lr_scheduler": scheduler, "optimizer": {"state": moments},
            "state_dict_ema": prefixed(state, "ema."),
            "state_dict": state}


def whole(state):
    net = sys.modules["net"].Net()
    net.__dict__.update(training=False, _parameters=state, _modules={})
    return net


def main():
    state = read(sys.argv[1])
    for protocol in range(1, 6):
        new("script%d.pth" % protocol, beside(state), protocol)
    old("old.th", {"state_dict": prefixed(state, "module."), "best": 91.7})
    old("script-old.pth.tar", beside(state), 4)
    old("big-machine.pth", state, little=False)
    Tensor.old = True
    old("oldest.pth", prefixed(state, "module._orig_mod."))
    Tensor.old = False
    # parts of a storage, as shared ones were written
    both = Storage("Float", b"".join(state[n].storage.data for n in
                                     ("bn1.weight", "bn1.bias")))
    both.view = None
    view = dict(state)
    for i, n in enumerate(("bn1.weight", "bn1.bias")):
        part = Storage("Float", both.data, ("part%d" % i, 4 * i, 4))
        part.key = "shared"
        view[n] = Tensor(None, None, (4,), part)
    both.key = None
    text, storages = dump(view, 2, "cpu")
    with open("views.pth", "wb") as out:
        for i in (0x1950a86a20f9469cfc6c, 1001, {"little_endian": True}):
            pickle.dump(i, out, 2)
        out.write(text)
        both.key = "shared"
        storages.append(both)
        pickle.dump([s.key for s in storages], out, 2)
        for s in storages:
            out.write(struct.pack("<q", s.numel) + s.data)
            s.key = None
    new("half.pth", narrow(state, "Half"))
    old("bfloat.ckpt", narrow(state, "BFloat16"))
    new("big.pth", state, big=True)
    new("little.pth", state, big=False)
    new("compiled.pth", {"model": prefixed(state, "_orig_mod.")})
    inner = collections.OrderedDict(
        (k.replace(".", "._orig_mod.", 1), v) for k, v in state.items())
    new("compiled-parts.pth", {"epoch": 1, "net": {"weights": inner}})
    new("backbone.pth", prefixed(state, "encoder.backbone."))
    # ordered dictionaries as Python 2 wrote them
    new("python2.pth", {"model_state": Foreign(
        collections.OrderedDict, ([[k, v] for k, v in state.items()],))})
    new("whole.pth", whole(state))
    old("whole-old.pth", {"model": whole(state), "epoch": 1})
    new("two.pth", {"generator": dict(state), "critic": dict(state)})
    new("nothing.pth", {"epoch": 3})
    new("average.pth", {"ema": {"decay": 0.9, "module": state}, "epoch": 3})
    new("row.pth", (3, state))
    new("rows.pth", [dict(state), {"epoch": 3}])
    new("script.pt", state, more=["archive/constants.pkl", "archive/code/x"])
    lightning = beside(prefixed(state, "model."))
    lightning["state_dict"]["loss.weight"] = Tensor("Float", bytes(4), (1,))
    new("lightning.ckpt", lightning)
    loop = {"x": state["fc.bias"]}
    loop["self"] = loop
    new("loop.pth", {"a": {"b": loop}, "optimizer": loop})


main()
