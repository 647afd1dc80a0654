# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a TFLite file has against the model that it was made of.
    model MODEL.safetensors FILE.tflite X.npy Y.npz [NAME...]
        scale by scale, zero point by zero point, weight by weight; and Y.npz, what
        our program gives for X.npy, within a step on 99 % of the elements with
        TFLite's roundings; and with ours the same, but for the outputs NAME,
        which TFLite makes another way: within a step too
    deep MODEL.safetensors FILE.tflite X.npy Y.npz
        the same of a network of many layers, where single steps of TFLite's
        roundings add up: each layer within a step on 99 % of the elements of
        what it gives for our inputs, and the outputs 25 dB above what differs
    inputs FILE.tflite X.npy X
        X.npy as the bytes that FILE.tflite takes, one sample after the other
    outputs FILE.tflite Y Y.npz
        within a step on 99 %: the bytes Y that a runtime gave, all outputs of a
        sample after the other"""
import json
import struct
import sys
import numpy
import tflite_file
import tflite_run

DTYPES = {"U8": "u1", "I8": "i1", "I32": "<i4", "F32": "<f4"}


class Ours:
    """An int8 model of ours: its graph, and its arrays by name."""

    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        size, = struct.unpack_from("<Q", data)
        head = json.loads(data[8:8 + size])
        self.graph = json.loads(head.pop("__metadata__")["qatkit.graph"])
        self.array = {}
        for name, e in head.items():
            a, b = (8 + size + o for o in e["data_offsets"])
            self.array[name] = numpy.frombuffer(
                data[a:b], DTYPES[e["dtype"]]).reshape(e["shape"])
        self.maker = {n["out"]: n for n in self.graph["nodes"]}


def tensors_of(ours, m, value):
    """The tensors of int8 that VALUE of OURS is: of an input before and within
    its bounds; where an output has the name, with an end to it."""
    v = ours.graph["values"][value]
    names = [ours.maker[value]["name"]] if value in ours.maker \
        else [v["name"], v["name"] + "/within"]
    names.append(names[0] + "/int8")
    found = [t for t in m.tensors
             if t.name in names and t.dtype == numpy.int8]
    assert found, "%s is nowhere" % names
    return found


def same_weights(ours, node, m):
    names = {t.name: t for t in m.tensors}
    name = node["name"]
    w, b = names[name + "/weight"], names[name + "/bias"]
    want = ours.array[name + ".weight"]
    scale = ours.array[name + ".weight_scale"].ravel()
    got = w.data
    if w.shape[0] == 1 and want.shape[0] == w.shape[-1] and want.ndim == 4 \
            and want.shape[3] == 1:
        got = got.transpose(3, 1, 2, 0)  # depthwise
        axis = 3
    else:
        axis = 0
    assert w.dtype == numpy.int8 and not w.zero.any()
    assert (got.ravel() == want.ravel()).all(), name + ": other weights"
    assert got.size == want.size
    assert (w.scale == scale).all(), name + ": other scales"
    assert len(scale) == 1 or w.axis == axis, name
    s = ours.graph["values"][node["in"][0]]["grid"][0]
    s = numpy.float32(s) * scale
    if b.dtype == numpy.float32:
        assert (b.data == ours.array[name + ".bias"].astype('f4') * s).all()
        return
    assert b.dtype == numpy.int32 and not b.zero.any()
    assert (b.data == ours.array[name + ".bias"]).all(), name + ": biases"
    assert (b.scale == s).all(), name + ": scales of biases"


def same(ours, m):
    grids = weights = 0
    for i, v in enumerate(ours.graph["values"]):
        for t in tensors_of(ours, m, i) if "grid" in v else []:
            name = t.name
            assert t.scale[0] == numpy.float32(v["grid"][0]), name
            assert t.zero[0] == v["grid"][1] - 128, name
            assert list(t.shape) == v["shape"], name
            grids += 1
    for n in ours.graph["nodes"]:
        if n["name"] + ".weight" in ours.array:
            same_weights(ours, n, m)
            weights += 1
    print("%d grids, %d weights" % (grids, weights))
    assert grids > 0


def step_of(m, t):
    """The step of output T: of its grid; of one that is computed in real
    numbers, the most that a step of the last layer's input makes there."""
    if t.dtype != numpy.float32:
        return t.scale[0]
    n = m.maker(t.name)
    if n.op == "DEQUANTIZE":
        return n.inputs[0].scale[0]
    x, w = (m.maker(i.name).inputs[0] for i in n.inputs[:2])
    k = w.scale.reshape([-1] + [1] * (w.data.ndim - 1))
    return x.scale[0] * abs(w.data * k).max()


def steps(m, name, t, got, want):
    """|GOT - WANT| in steps of output NAME, from real numbers."""
    if t.dtype != numpy.float32:
        got = (got.astype(float) - t.zero[0]) * t.scale[0]
    if got.ndim == 4:
        got = got.transpose(0, 3, 1, 2)
    assert want.std() > 0, name + ": nothing is compared"
    return abs(got.reshape(want.shape) - want) / step_of(m, t)


def bytes_for(m, x):
    """X, (N,C,H,W) of real numbers, as the model takes it."""
    t, = m.inputs
    x = x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
    if t.dtype == numpy.float32:
        return numpy.ascontiguousarray(x)
    lo = -128 if t.dtype == numpy.int8 else 0
    x = numpy.rint(x * (1 / t.scale[0])) + t.zero[0]
    return numpy.clip(x, lo, lo + 255).astype(t.dtype)


def model(path, file, x, y, *other):
    m = tflite_file.Model(file)
    same(Ours(path), m)
    want, x = numpy.load(y), [bytes_for(m, numpy.load(x))]
    ours = tflite_run.compute(m, x, tflite_run.Ours)
    theirs = tflite_run.compute(m, x)
    assert set(m.names[1]) == set(want)
    for name, t in zip(m.names[1], m.outputs):
        d = steps(m, name, t, ours[name], want[name])
        e = steps(m, name, t, theirs[name], want[name])
        print("%s: ours within %.4g steps, TFLite's: %.2f %% the same, %.2f %% "
              "within a step, all within %.4g"
              % (name, d.max(), 100 * (e < .5).mean(), 100 * (e < 1.5).mean(),
                 e.max()))
        assert d.max() < (1.5 if name in other else 0.01), name
        assert (e < 1.5).mean() >= 0.99, name


def one_layer(n, given, y):
    """Layer N with TFLite's roundings, where we give Y for the same."""
    if n.outputs[0].dtype == numpy.float32:
        return
    d = abs(tflite_run.KERNELS[n.op](n, given, tflite_run.TFLite).astype(int)
            - y.astype(int))
    assert (d < 2).mean() >= 0.99, "%s %s" % (n.op, n.outputs[0].name)


def deep(path, file, x, y):
    m = tflite_file.Model(file)
    same(Ours(path), m)
    want, x = numpy.load(y), [bytes_for(m, numpy.load(x))]
    ours = tflite_run.compute(m, x, tflite_run.Ours, one_layer)
    theirs = tflite_run.compute(m, x)
    assert set(m.names[1]) == set(want)
    for name, t in zip(m.names[1], m.outputs):
        assert steps(m, name, t, ours[name], want[name]).max() < 0.01, name
        noise = steps(m, name, t, theirs[name], want[name]) * step_of(m, t)
        sqnr = 10 * numpy.log10((want[name] ** 2).mean() / (noise ** 2).mean())
        print("%s: %d layers within a step each, %.1f dB"
              % (name, len(m.nodes), sqnr))
        assert sqnr >= 25, name


def outputs(file, given, y):
    m = tflite_file.Model(file)
    want, data, at = numpy.load(y), open(given, "rb").read(), 0
    n = len(want[m.names[1][0]])
    parts = {name: [] for name in m.names[1]}
    for _ in range(n):
        for name, t in zip(m.names[1], m.outputs):
            count = int(numpy.prod(t.shape))
            parts[name].append(numpy.frombuffer(data, t.dtype, count, at)
                               .reshape(t.shape[1:]))
            at += count * numpy.dtype(t.dtype).itemsize
    assert at == len(data)
    for name, t in zip(m.names[1], m.outputs):
        d = steps(m, name, t, numpy.stack(parts[name]), want[name])
        print("%s: %.2f %% the same, all within %.4g steps"
              % (name, 100 * (d < .5).mean(), d.max()))
        assert (d < 1.5).mean() >= 0.99, name


def inputs(file, x, to):
    bytes_for(tflite_file.Model(file), numpy.load(x)).tofile(to)


if __name__ == "__main__":
    {f.__name__: f for f in (model, deep, inputs, outputs)}[sys.argv[1]](
        *sys.argv[2:])
