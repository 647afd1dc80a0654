# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes networks that are quantized in their file, and what they give.

   qdq_files.py FOLDER

For each network NAME: NAME.onnx, which takes x.npy, and NAME-y.npy, computed
here in double precision as ONNX defines the operators; NAME-float.npy without
rounding to grids, where the network keeps its activation functions."""
import os
import sys

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper

MS = "com.microsoft"
F = np.float32


def round_to(x, scale, zero, lo, hi):
    q = np.clip(np.rint(x / np.float64(scale)) + zero, lo, hi)
    return (q - zero) * np.float64(scale)


def ends(dtype):
    i = np.iinfo(dtype)
    return i.min, i.max


def conv(x, w, b):
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    n = sliding_window_view(x, (3, 3), axis=(2, 3))
    return np.einsum("nchwrs,kcrs->nkhw", n, w) + b.reshape(1, -1, 1, 1)


def max_pool(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))


class Net:
    """Nodes, and for each value its numbers: those of the file, and those of
    the network without grids."""

    def __init__(self, x, seed=1):
        self.nodes, self.inits = [], []
        self.rng = np.random.default_rng(seed)
        self.value = {"x": (x.astype(np.float64), x.astype(np.float64))}

    def constant(self, name, a):
        self.inits.append(numpy_helper.from_array(np.asarray(a), name))
        return name

    def node(self, op, ins, out, f=None, **attributes):
        self.nodes.append(helper.make_node(op, ins, [out], name=out,
                                           **attributes))
        if f is not None:
            args = [self.value[i] for i in ins if i in self.value]
            self.value[out] = tuple(f(*(a[k] for a in args)) for k in (0, 1))
        return out

    def grid(self, name, scale, zero, dtype=np.uint8):
        return [self.constant(name + "/scale", F(scale)),
                self.constant(name + "/zero", dtype(zero)),
                scale, zero, dtype]

    def rounded(self, out, grid):
        """What a value is in the file, rounded to a grid."""
        y, real = self.value[out]
        scale, zero, dtype = grid[2:]
        lo, hi = ends(dtype)
        if dtype in (np.uint8, np.int8, np.int16):
            y = round_to(y, F(scale), zero, lo, hi)
        self.value[out] = y, real

    def q(self, x, name, scale, zero, dtype=np.uint8):
        """x through QuantizeLinear and DequantizeLinear."""
        g = self.grid(name, scale, zero, dtype)
        self.node("QuantizeLinear", [x, *g[:2]], name + "/q")
        self.node("DequantizeLinear", [name + "/q", *g[:2]], name)
        self.value[name] = self.value[x]
        self.rounded(name, g)
        return name

    def weights(self, name, shape, zero=0, dtype=np.int8, per=True, axis=0,
                most=110):
        """Integers, their scales, zero points, and the reals they are."""
        k = shape[axis]
        w = (self.rng.integers(-110, most + 1, size=shape) + zero).astype(
            dtype)
        s = self.rng.uniform(.001, .004, size=k if per else ()).astype(F)
        z = np.full(k if per else (), zero, dtype)
        self.constant(name + "/q", w)
        self.constant(name + "/scale", s)
        self.constant(name + "/zero", z)
        form = [-1 if i == axis else 1 for i in range(len(shape))]
        real = (w.astype(np.float64) - zero) * (
            s.astype(np.float64).reshape(form) if per else np.float64(s))
        return [name + "/q", name + "/scale", name + "/zero"], s, real

    def bias(self, name, k, scale):
        b = self.rng.integers(-500, 500, size=k).astype(np.int32)
        self.constant(name + "/q", b)
        s = np.broadcast_to((F(scale)).astype(F), (k,))
        self.constant(name + "/scale", s.copy())
        return b, b * s.astype(np.float64)

    def layer(self, op, x, x_scale, name, shape, f, zero=0, dtype=np.int8,
              per=True, axis=0, most=110, **attributes):
        """Conv or Gemm with weights and bias behind DequantizeLinear."""
        w, s, real = self.weights(name + ".weight", shape, zero, dtype, per,
                                  axis, most)
        _, b = self.bias(name + ".bias", shape[0], F(x_scale) * s)
        self.node("DequantizeLinear", w, name + ".weight", axis=axis)
        self.node("DequantizeLinear",
                  [name + ".bias/q", name + ".bias/scale"], name + ".bias",
                  axis=0)
        return self.node(op, [x, name + ".weight", name + ".bias"], name,
                         lambda a: f(a, real, b), **attributes)

    def save(self, folder, name, out, real=False, opset=13):
        y, without = self.value[out]
        self.node("Identity", [out], "y")
        graph = helper.make_graph(
            self.nodes, name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT,
                                           ["N", 3, 8, 8])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT,
                                           ["N", *y.shape[1:]])], self.inits)
        model = helper.make_model(graph, opset_imports=[
            helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)])
        model.ir_version = 7
        onnx.save(model, os.path.join(folder, name + ".onnx"))
        np.save(os.path.join(folder, name + "-y.npy"), y.astype(F))
        if real:
            np.save(os.path.join(folder, name + "-float.npy"),
                    without.astype(F))


def relu(x):
    return np.maximum(x, 0)


def mean(x):
    return x.mean(axis=(2, 3), keepdims=True)


def pairs(x, kind, off, **first):
    """Pairs of QuantizeLinear and DequantizeLinear.  One ReLU is a node, the
    other one only the end of a grid; a mean changes its grid."""
    n = Net(x)

    def q(a, name, scale, zero):
        return n.q(a, name, scale, zero - off, kind)

    a = q("x", "xq", .02, 120)
    a = n.layer("Conv", a, .02, "conv1", (8, 3, 3, 3), conv, pads=[1] * 4,
                **first)
    a = n.node("Relu", [a], "relu1", relu)
    a = r = q(a, "relu1q", .0153, 0)
    a = n.layer("Conv", a, .0153, "conv2", (8, 8, 3, 3), conv, pads=[1] * 4,
                per=False)
    a = q(a, "conv2q", .0317, 128)
    a = n.node("Add", [a, r], "sum", np.add)
    n.value[a] = n.value[a][0], relu(n.value[a][1])  # what the grid implies
    a = q(a, "sumq", .0293, 0)
    a = n.node("MaxPool", [a], "pool", max_pool, kernel_shape=[2, 2],
               strides=[2, 2])
    a = q(a, "poolq", .0293, 0)
    a = n.node("GlobalAveragePool", [a], "mean", mean)
    a = q(a, "meanq", .0111, 1)
    a = n.node("Flatten", [a], "flat", lambda v: v.reshape(len(v), -1))
    a = q(a, "flatq", .0111, 1)
    a = n.layer("Gemm", a, .0111, "fc", (5, 8),
                lambda v, w, b: v @ w.T + b, transB=1)
    return n, q(a, "fcq", .0107, 100)


def integers(x):
    """Operators on integers, ONNX's and ONNX Runtime's."""
    n = Net(x, 7)

    def op(name, out, operands, g, f, **attributes):
        ins = [i for o in operands for i in o]
        n.node(name, [*ins, *g[:2]], out, **attributes)
        vs = [n.value[o[0]] for o in operands if o[0] in n.value]
        n.value[out] = tuple(f(*(v[k] for v in vs)) for k in (0, 1))
        n.rounded(out, g)
        return out

    def qconv(a, ga, out, shape, g, **how):
        w, s, real = n.weights(out + ".weight", shape, **how)
        _, b = n.bias(out + ".bias", shape[0], F(ga[2]) * s)
        n.node("QLinearConv",
               [a, *ga[:2], *w, *g[:2], out + ".bias/q"], out,
               pads=[1] * 4)
        n.value[out] = tuple(conv(n.value[a][k], real, b) for k in (0, 1))
        n.rounded(out, g)
        return out

    gx = n.grid("x", .02, 120)
    n.node("QuantizeLinear", ["x", *gx[:2]], "xq")
    n.value["xq"] = n.value["x"]
    n.rounded("xq", gx)
    g1, g2 = n.grid("g1", .0171, 0), n.grid("g2", .0333, 128)
    c1 = qconv("xq", gx, "conv1", (8, 3, 3, 3), g1)
    c2 = qconv(c1, g1, "conv2", (8, 8, 3, 3), g2, per=False, zero=128,
               dtype=np.uint8)
    g3 = n.grid("g3", .0293, 3)
    a = op("QLinearAdd", "sum", [(c2, *g2[:2]), (c1, *g1[:2])], g3, np.add,
           domain=MS)
    a = m = n.node("MaxPool", [a], "pool", max_pool, kernel_shape=[2, 2],
                   strides=[2, 2])
    g4, g5 = n.grid("g4", .0039, 2), n.grid("g5", .0161, 30)
    s = op("QLinearSigmoid", "gate", [(m, *g3[:2])], g4,
           lambda v: 1 / (1 + np.exp(-v)), domain=MS)
    a = op("QLinearMul", "product", [(m, *g3[:2]), (s, *g4[:2])], g5,
           np.multiply, domain=MS)
    g6 = n.grid("g6", .0305, 20)
    n.node("QLinearConcat", [*g6[:2], m, *g3[:2], a, *g5[:2]], "both",
           axis=1, domain=MS)
    n.value["both"] = tuple(np.concatenate([n.value[m][k], n.value[a][k]], 1)
                            for k in (0, 1))
    n.rounded("both", g6)
    g7 = n.grid("g7", .0125, 4)
    a = op("QLinearGlobalAveragePool", "mean", [("both", *g6[:2])], g7, mean,
           domain=MS, channels_last=0)
    a = n.node("Flatten", [a], "flat", lambda v: v.reshape(len(v), -1))
    w, _, real = n.weights("mm.weight", (16, 8), axis=1)
    g8 = n.grid("g8", .0111, 90)
    a = op("QLinearMatMul", "mm", [(a, *g7[:2]), w], g8, lambda v: v @ real)
    w, s, real = n.weights("gemm.weight", (5, 8), per=False)
    _, b = n.bias("gemm.bias", 5, F(.0111) * s)
    g9 = n.grid("g9", .0102, 100)
    n.node("QGemm", [a, *g8[:2], *w, "gemm.bias/q", *g9[:2]], "gemm",
           transB=1, domain=MS)
    n.value["gemm"] = tuple(n.value[a][k] @ real.T + b for k in (0, 1))
    n.rounded("gemm", g9)
    n.node("DequantizeLinear", ["gemm", *g9[:2]], "dq")
    n.value["dq"] = n.value["gemm"]
    return n, "dq"


def dynamic(x):
    """DynamicQuantizeLinear before products of integers."""
    n = Net(x, 3)

    def product(op, a, out, shape, f, zero, dtype, axis, **attributes):
        w, _, real = n.weights(out, shape, zero, dtype, False, axis)
        n.nodes.append(helper.make_node(
            "DynamicQuantizeLinear", [a],
            [out + "/a", out + "/s", out + "/z"]))
        n.node(op, [out + "/a", w[0], out + "/z", w[2]], out + "/i",
               **attributes)
        n.node("Cast", [out + "/i"], out + "/f", to=TensorProto.FLOAT)
        n.node("Mul", [out + "/s", w[1]], out + "/m")
        n.node("Mul", [out + "/f", out + "/m"], out)
        n.value[out] = tuple(f(n.value[a][k], real) for k in (0, 1))
        return out

    a = product("ConvInteger", "x", "conv", (8, 3, 3, 3),
                lambda v, w: conv(v, w, np.zeros(8)), 0, np.int8, 0,
                pads=[1] * 4)
    a = n.node("GlobalAveragePool", [a], "mean", mean)
    a = n.node("Flatten", [a], "flat", lambda v: v.reshape(len(v), -1))
    a = product("MatMulInteger", a, "mm", (8, 5), lambda v, w: v @ w, 131,
                np.uint8, 1)
    n.constant("bias", n.rng.normal(size=5).astype(F))
    b = numpy_helper.to_array(n.inits[-1]).astype(np.float64)
    a = n.node("Add", [a, "bias"], "out", lambda v: v + b)
    return n, a


def wide(x):
    """A grid of 16 bits, which there is none of here."""
    n = Net(x, 4)
    a = n.q("x", "xq", 2e-4, 0, np.int16)
    a = n.layer("Conv", a, 2e-4, "conv", (8, 3, 3, 3), conv, pads=[1] * 4)
    return n, n.node("GlobalAveragePool", [a], "mean", mean)


def einsum(x):
    """What attention is made of: queries by keys, weights by values, in
    orders of axes that need no transposition, then a constant matrix."""
    n = Net(x, 5)
    n.constant("shape", np.array([0, 3, 4, 16], np.int64))
    a = n.node("Reshape", ["x", "shape"], "heads",
               lambda v: v.reshape(-1, 3, 4, 16))
    s = n.node("Einsum", [a, a], "scores",
               lambda u, v: np.einsum("bihd,bjhd->bhij", u, v),
               equation="bihd,bjhd->bhij")
    v = n.node("Einsum", [s, a], "values",
               lambda u, v: np.einsum("bhij,bjhd->bihd", u, v),
               equation="bhij, bjhd -> bihd")
    w = n.rng.normal(size=(4, 16, 6)).astype(F)
    n.constant("w", w)
    return n, n.node("Einsum", [v, "w"], "merged",
                     lambda u: np.einsum("bihd,hdk->bik", u, w),
                     equation="bihd,hdk->bik")


def bad(folder):
    """Files that are refused."""
    x = np.zeros((1, 3, 8, 8))
    n = Net(x)
    g = n.grid("g", .02, 3)
    n.node("QuantizeLinear", ["x", *g[:2]], "q")
    n.value["q"] = n.value["x"]
    n.save(folder, "ends-in-integers", "q")
    n = Net(x)
    g, h = n.grid("g", .02, 3), n.grid("h", .03, 3)
    n.node("QuantizeLinear", ["x", *g[:2]], "q")
    n.node("DequantizeLinear", ["q", *h[:2]], "dq")
    n.value["dq"] = n.value["x"]
    n.save(folder, "other-scale", "dq")
    n = Net(x)
    g = n.grid("g", .02, 3)
    n.node("QuantizeLinear", ["x", *g[:2]], "q")
    n.node("Abs", ["q"], "abs")
    n.node("DequantizeLinear", ["abs", *g[:2]], "dq")
    n.value["dq"] = n.value["x"]
    n.save(folder, "computes", "dq")


def main(folder):
    x = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(F)
    np.save(os.path.join(folder, "x.npy"), x)
    for name, (net, out), real in (
            ("u8", pairs(x, np.uint8, 0), True),
            ("i8", pairs(x, np.int8, 128), True),
            ("zero7", pairs(x, np.uint8, 0, zero=7), False),
            ("asymmetric", pairs(x, np.uint8, 0, zero=112, most=140,
                                 dtype=np.uint8), False),
            ("integers", integers(x), False),
            ("dynamic", dynamic(x), False),
            ("wide", wide(x), False),
            ("einsum", einsum(x), False)):
        net.save(folder, name, out, real)
    bad(folder)


main(sys.argv[1])
