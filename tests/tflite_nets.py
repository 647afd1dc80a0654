# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes networks for test-tflite.sh, as ONNX, into the folder given:
each.onnx    an output for each operator that TFLite has: of one element, and
             windows; more.onnx: of several tensors, and what moves elements
branch.onnx  a small classifier with squeeze-excitation and concatenation
div.onnx     what TFLite has no integers for; sum.onnx, lrn.onnx too"""
import sys
import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

r = numpy.random.default_rng(3)


class Net:
    def __init__(self, shape):
        self.nodes, self.constants, self.outputs = [], [], []
        self.input = helper.make_tensor_value_info(
            "x", TensorProto.FLOAT, ["N"] + shape)

    def constant(self, name, x):
        self.constants.append(numpy_helper.from_array(x, name))
        return name

    def node(self, op, inputs, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [name], name,
                                           **attributes))
        return name

    def conv(self, x, name, c, k, size, groups=1, **attributes):
        w = r.normal(size=(k, c // groups, size, size)) / size
        b = r.normal(size=k) / 4
        return self.node("Conv", [
            x, self.constant(name + ".w", w.astype(numpy.float32)),
            self.constant(name + ".b", b.astype(numpy.float32))], name,
            group=groups, **attributes)

    def scalar(self, name, x):
        return self.constant(name, numpy.array(x, numpy.float32))

    def ints(self, name, *x):
        return self.constant(name, numpy.array(x, numpy.int64))

    def save(self, path, outputs):
        g = helper.make_graph(self.nodes, "g", [self.input], [
            helper.make_empty_tensor_value_info(o) for o in outputs],
            self.constants)
        m = helper.make_model(g, opset_imports=[helper.make_opsetid("", 14)],
                              ir_version=7)
        known = {v.name: v for v in onnx.shape_inference.infer_shapes(
            m, data_prop=True).graph.output}
        for i, o in enumerate(outputs):
            m.graph.output[i].CopyFrom(known[o])
        onnx.save(m, path)


def windows(n):
    one = dict(strides=[1, 1])
    yield n.conv("x", "conv_same", 8, 8, 3, pads=[1, 1, 1, 1])
    yield n.conv("x", "conv_odd", 8, 8, 3, pads=[1, 1, 1, 1], strides=[2, 2])
    yield n.conv("x", "conv_groups", 8, 4, 3, 2)
    yield n.conv("x", "conv_dilated", 8, 8, 3, dilations=[2, 1])
    yield n.conv("x", "depthwise", 8, 16, 3, 8, pads=[0, 0, 1, 1])
    yield n.node("Clip", [n.conv("x", "six", 8, 8, 1), n.scalar("lo", 0),
                          n.scalar("hi", 6)], "relu6")
    yield n.node("Clip", [n.conv("x", "four", 8, 8, 1), n.scalar("lo1", -1),
                          n.scalar("hi1", .5)], "clip")
    yield n.node("MaxPool", ["x"], "max_odd", kernel_shape=[3, 3],
                 strides=[2, 2], pads=[1, 1, 1, 1])
    yield n.node("MaxPool", ["x"], "max_ceil", kernel_shape=[2, 2],
                 strides=[2, 2], ceil_mode=1)
    yield n.node("AveragePool", ["x"], "mean_same", kernel_shape=[3, 3],
                 pads=[1, 1, 1, 1], **one)
    yield n.node("AveragePool", ["x"], "mean_all", kernel_shape=[3, 3],
                 pads=[1, 1, 1, 1], count_include_pad=1, strides=[2, 2])
    yield n.node("AveragePool", ["x"], "mean_valid", kernel_shape=[2, 3],
                 strides=[2, 3])
    yield n.node("GlobalAveragePool", ["x"], "mean_whole")


def functions(n):
    for op in "Sigmoid", "Tanh", "Elu", "Exp", "Abs":
        yield n.node(op, ["x"], op.lower())
    yield n.node("LeakyRelu", ["x"], "leaky", alpha=0.2)
    yield n.node("HardSigmoid", ["x"], "hardsigmoid", alpha=1 / 6, beta=0.5)
    yield n.node("HardSwish", ["x"], "hardswish")
    yield n.node("Mul", ["x", n.node("Sigmoid", ["x"], "gate")], "silu")
    e = n.node("Erf", [n.node("Div", ["x", n.scalar("r2", 2 ** .5)], "d")],
               "e")
    e = n.node("Mul", ["x", n.node("Add", [e, n.scalar("1", 1)], "e1")], "e2")
    yield n.node("Mul", [e, n.scalar("half", .5)], "gelu")
    slope = (r.uniform(-1, 1, (8, 1, 1))).astype(numpy.float32)
    yield n.node("PRelu", ["x", n.constant("slope", slope)], "prelu")
    yield n.node("Softmax", ["x"], "softmax", axis=1)


def several(n):
    other = n.conv("x", "other", 8, 8, 1)
    for op in "Add", "Sub", "Mul", "Max", "Min":
        yield n.node(op, ["x", other], op.lower())
    one = r.normal(size=(1, 8, 1, 1)).astype(numpy.float32)
    yield n.node("Add", ["x", n.constant("one", one)], "add_channels")
    squashed = n.node("Sigmoid", ["x"], "squashed")
    yield n.node("Concat", ["x", other, squashed], "concat", axis=1)
    rows = n.node("Reshape", ["x", n.ints("rows/of", 0, 8, 90)], "rows")
    columns = n.node("Transpose", [rows], "columns", perm=[0, 2, 1])
    yield n.node("Mul", [n.node("MatMul", [rows, columns], "product"),
                         n.scalar("factor", .125)], "matmul")


def places(n):
    for mode, how, name in (
            ("nearest", "asymmetric", "nearest"),
            ("linear", "half_pixel", "linear"),
            ("linear", "align_corners", "linear_corners")):
        yield n.node("Resize", ["x", "", n.constant(
            name + "/by", numpy.array([1, 1, 2, 2], numpy.float32))], name,
            mode=mode, coordinate_transformation_mode=how,
            **(dict(nearest_mode="floor") if mode == "nearest" else {}))
    yield n.node("Pad", ["x", n.ints("pads", 0, 0, 1, 2, 0, 0, 0, 1)], "pad")
    yield n.node("Slice", ["x", n.ints("from", 1, 0), n.ints("to", 7, 9),
                           n.ints("axes", 2, 3), n.ints("step", 2, 1)],
                 "slice")
    yield n.node("Transpose", ["x"], "transpose", perm=[0, 3, 1, 2])
    yield n.node("DepthToSpace", ["x"], "depth", blocksize=2)
    for op in "ReduceMean", "ReduceMax", "ReduceMin":
        yield n.node(op, ["x"], op.lower(), axes=[3], keepdims=0)
    w = r.normal(size=(10, 8)).astype(numpy.float32)
    yield n.node("Gemm", [n.node("Flatten", [
        n.node("GlobalAveragePool", ["x"], "mean")], "flat"),
                          n.constant("fc", w),
                          n.constant("fcb", w[:, 0].copy())], "linear_layer",
                 transB=1)


def each(path, *parts):
    n = Net([8, 10, 9])
    n.save(path, [o for part in parts for o in part(n)])


def excited(n, x, name, c):
    """Squeeze-excitation of C channels."""
    s = n.node("GlobalAveragePool", [x], name + "/mean")
    s = n.node("Relu", [n.conv(s, name + "/down", c, c // 2, 1)], name + "/r")
    s = n.node("HardSigmoid", [n.conv(s, name + "/up", c // 2, c, 1)],
               name + "/gate", alpha=1 / 6, beta=0.5)
    return n.node("Mul", [x, s], name)


def branch(path):
    n = Net([3, 16, 16])
    x = n.node("HardSwish", [n.conv("x", "stem", 3, 16, 3, pads=[1, 1, 1, 1],
                                    strides=[2, 2])], "stem/act")
    x = excited(n, x, "se", 16)
    a = n.node("Relu", [n.conv(x, "left", 16, 8, 1)], "left/act")
    b = n.node("Relu", [n.conv(x, "right", 16, 16, 3, pads=[1, 1, 1, 1])],
               "right/act")
    x = n.node("Concat", [a, b], "joined", axis=1)
    x = n.node("MaxPool", [x], "pool", kernel_shape=[3, 3], strides=[2, 2],
               pads=[1, 1, 1, 1])
    x = n.node("Flatten", [n.node("GlobalAveragePool", [x], "mean")], "flat")
    w = r.normal(size=(10, 24)).astype(numpy.float32)
    n.node("Gemm", [x, n.constant("w", w), n.constant("b", w[:, 0].copy())],
           "y", transB=1)
    n.save(path, ["y"])


def refused(folder):
    n = Net([8, 10, 9])
    n.node("Div", [n.node("Exp", ["x"], "above"),
                   n.node("Add", [n.node("Exp", ["x"], "below/exp"),
                                  n.scalar("one", 1)], "below")], "quotient")
    n.save(folder + "/div.onnx", ["quotient"])
    n = Net([8, 10, 9])
    n.node("ReduceSum", ["x", n.ints("axes", 2, 3)], "total", keepdims=1)
    n.save(folder + "/sum.onnx", ["total"])
    n = Net([8, 10, 9])
    n.node("LRN", ["x"], "normalised", size=3)
    n.save(folder + "/lrn.onnx", ["normalised"])


each(sys.argv[1] + "/each.onnx", windows, functions)
each(sys.argv[1] + "/more.onnx", several, places)
branch(sys.argv[1] + "/branch.onnx")
refused(sys.argv[1])
