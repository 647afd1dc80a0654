# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks an ONNX file that 'qatkit export' wrote, and runs it with numpy.

   onnx_eval.py MODEL SAMPLES LOGITS OUT

SAMPLES are float32 (N,C,H,W) as in the model's input, LOGITS what qatkit
computed for them.  The model must pass ONNX's own checker and shape
inference.  Prints one line: samples, those with another best class, largest
difference of a logit, spread (standard deviation) of LOGITS, number of
DequantizeLinear.  OUT receives the logits of this run."""
import math
import sys

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import numpy_helper, shape_inference


def windows(x, a, fill):
    """(N,C,P,Q,R,S) of the padded sample."""
    kernel = a["kernel_shape"]
    d = a.get("dilations", [1, 1])
    s = a.get("strides", [1, 1])
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)),
               constant_values=fill)
    span = [d[i] * (kernel[i] - 1) + 1 for i in (0, 1)]
    w = sliding_window_view(x, span, axis=(2, 3))
    return w[:, :, ::s[0], ::s[1], ::d[0], ::d[1]]


def conv(a, x, w, b=None):
    groups = a.get("group", 1)
    n = windows(x, a, 0)
    k, c = w.shape[0] // groups, w.shape[1]
    y = np.concatenate(
        [np.einsum("ncpqrs,kcrs->nkpq", n[:, g * c:(g + 1) * c],
                   w[g * k:(g + 1) * k], optimize=True)
         for g in range(groups)], axis=1)
    return y if b is None else y + b.reshape(1, -1, 1, 1)


def average(a, x):
    n = windows(x, a, 0).sum(axis=(4, 5))
    if a.get("count_include_pad", 0):
        return n / np.prod(a["kernel_shape"])
    return n / windows(np.ones_like(x), a, 0).sum(axis=(4, 5))


def per_channel(v, x, axis):
    if v.ndim == 0:
        return v
    return v.reshape([-1 if i == axis else 1 for i in range(x.ndim)])


def dequantize(a, x, scale, zero):
    axis = a.get("axis", 1)
    return ((x.astype(np.int64) - per_channel(zero, x, axis))
            * per_channel(scale, x, axis).astype(np.float64))


def quantize(a, x, scale, zero):
    q = np.rint(x / np.float64(scale)) + zero
    return np.clip(q, 0, 255).astype(np.uint8)


def dynamic(a, x):
    lo, hi = min(x.min(), 0), max(x.max(), 0)
    scale = (hi - lo) / 255
    zero = np.clip(np.rint(-lo / scale), 0, 255).astype(np.uint8)
    return quantize(a, x, scale, zero), scale, zero


def integers(a, x, w, zero):
    return (x.astype(np.int64) - zero) @ w.astype(np.int64)


def batchnorm(a, x, gamma, beta, mean, var):
    def c(v):
        return per_channel(v, x, 1).astype(np.float64)
    return c(gamma) * (x - c(mean)) / np.sqrt(c(var) + a["epsilon"]) + c(beta)


def hard_sigmoid(a, x):
    return np.clip(a["alpha"] * x + a["beta"], 0, 1)


def reshape(a, x, shape):
    return x.reshape([x.shape[i] if n == 0 else n
                      for i, n in enumerate(shape)])


def pad(a, x, pads, fill=0):
    n = x.ndim
    return np.pad(x, [(pads[i], pads[n + i]) for i in range(n)],
                  constant_values=fill)


def cut(a, x, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    at = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        at[axis] = slice(start, None if end < -x.shape[axis] else end, step)
    return x[tuple(at)]


def depth_to_space(a, x):
    b = a["blocksize"]
    n, c, h, w = x.shape
    if a["mode"] == b"CRD":
        return x.reshape(n, c // b**2, b, b, h, w).transpose(
            0, 1, 4, 2, 5, 3).reshape(n, c // b**2, h * b, w * b)
    return x.reshape(n, b, b, c // b**2, h, w).transpose(
        0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)


def space_to_depth(a, x):
    b = a["blocksize"]
    n, c, h, w = x.shape
    return x.reshape(n, c, h // b, b, w // b, b).transpose(
        0, 3, 5, 1, 2, 4).reshape(n, c * b**2, h // b, w // b)


def place(a, i, scale, size):
    """Where element i of the output lies among SIZE elements."""
    out = math.floor(scale * size)
    how = a["coordinate_transformation_mode"]
    if how == b"asymmetric":
        return i / scale
    if how == b"align_corners":
        return i * (size - 1) / (out - 1) if out > 1 else 0
    if how == b"pytorch_half_pixel" and out == 1:
        return 0
    return (i + 0.5) / scale - 0.5


def shares(a, x, k):
    """How much elements K count at place X."""
    t = np.abs(x - k)
    if a["mode"] == b"linear":
        return np.maximum(1 - t, 0)
    if a["mode"] == b"cubic":
        return np.where(t <= 1, 1.25 * t**3 - 2.25 * t**2 + 1, np.where(
            t < 2, -0.75 * t**3 + 3.75 * t**2 - 6 * t + 3, 0))
    how = a["nearest_mode"]
    return k == (math.floor(x) if how == b"floor" else
                 math.ceil(x) if how == b"ceil" else
                 math.ceil(x - 0.5) if how == b"round_prefer_floor" else
                 math.floor(x + 0.5))


def resize(a, x, roi, scales, sizes=None):
    if sizes is None:
        sizes = [math.floor(s * n) for s, n in zip(scales, x.shape)]
    else:
        scales = [s / n for s, n in zip(sizes, x.shape)]
    for axis, scale in enumerate(scales):
        size = x.shape[axis]
        if scale == 1:
            continue
        m = np.zeros((int(sizes[axis]), size))
        beyond = np.arange(-4, size + 4)
        for i in range(len(m)):
            at = min(max(place(a, i, scale, size), -2), size + 1)
            np.add.at(m[i], beyond.clip(0, size - 1), shares(a, at, beyond))
        x = np.moveaxis(np.tensordot(m, x, (1, axis)), 0, axis)
    return x


def along(f):
    """A function along axes, which ReduceSum has as an input."""
    def run(a, x, axes=None):
        axes = a.get("axes") if axes is None else axes
        return f(x, axis=None if axes is None else tuple(
                     int(i) for i in axes),
                 keepdims=bool(a.get("keepdims", 1)))
    return run


def conv_transpose(a, x, w, b=None):
    """As a sum of what each input gives to the output."""
    (sh, sw), (dh, dw) = a["strides"], a["dilations"]
    top, left, bottom, right = a["pads"]
    groups, (_, k, r, s) = a["group"], w.shape
    n, c, h, wide = x.shape
    more = a["output_padding"]
    y = np.zeros((n, k * groups, (h - 1) * sh + dh * (r - 1) + 1 + more[0],
                  (wide - 1) * sw + dw * (s - 1) + 1 + more[1]))
    for g in range(groups):
        cs = slice(g * c // groups, (g + 1) * c // groups)
        for i in range(r):
            for j in range(s):
                y[:, g * k:(g + 1) * k,
                  i * dh:i * dh + (h - 1) * sh + 1:sh,
                  j * dw:j * dw + (wide - 1) * sw + 1:sw] += np.einsum(
                      "nchw,ck->nkhw", x[:, cs], w[cs, :, i, j])
    y = y[:, :, top:y.shape[2] - bottom, left:y.shape[3] - right]
    return y if b is None else y + b.reshape(1, -1, 1, 1)


def softmax(a, x):
    e = np.exp(x - x.max(axis=a["axis"], keepdims=True))
    return e / e.sum(axis=a["axis"], keepdims=True)


def log_softmax(a, x):
    y = x - x.max(axis=a["axis"], keepdims=True)
    return y - np.log(np.exp(y).sum(axis=a["axis"], keepdims=True))


def instance_norm(a, x, scale, bias):
    axes = tuple(range(2, x.ndim))
    y = x - x.mean(axis=axes, keepdims=True)
    y = y / np.sqrt((y * y).mean(axis=axes, keepdims=True) + a["epsilon"])
    return per_channel(scale, x, 1) * y + per_channel(bias, x, 1)


def lrn(a, x):
    half = (a["size"] - 1) // 2
    s = np.pad(x * x, ((0, 0), (half, a["size"] - 1 - half), (0, 0), (0, 0)))
    s = sliding_window_view(s, a["size"], axis=1).sum(axis=-1)
    return x / (a["bias"] + a["alpha"] / a["size"] * s) ** a["beta"]


OPS = {
    "ConvTranspose": conv_transpose,
    "Div": lambda a, x, y: x / y,
    "Max": lambda a, x, y: np.maximum(x, y),
    "Min": lambda a, x, y: np.minimum(x, y),
    "Pow": lambda a, x, y: x ** y,
    "PRelu": lambda a, x, s: np.where(x > 0, x, s * x),
    "ReduceMean": along(np.mean),
    "ReduceSum": along(np.sum),
    "ReduceMax": along(np.max),
    "ReduceMin": along(np.min),
    "Softplus": lambda a, x: np.logaddexp(0, x),
    "Softsign": lambda a, x: x / (1 + np.abs(x)),
    "Exp": lambda a, x: np.exp(x),
    "Log": lambda a, x: np.log(x),
    "Sqrt": lambda a, x: np.sqrt(x),
    "Reciprocal": lambda a, x: 1 / x,
    "Neg": lambda a, x: -x,
    "Abs": lambda a, x: np.abs(x),
    "Sign": lambda a, x: np.sign(x),
    "Floor": lambda a, x: np.floor(x),
    "Ceil": lambda a, x: np.ceil(x),
    "Round": lambda a, x: np.rint(x),
    "Sin": lambda a, x: np.sin(x),
    "Cos": lambda a, x: np.cos(x),
    "Conv": conv,
    "Gemm": lambda a, x, w, b=0: x @ (w.T if a.get("transB") else w) + b,
    "BatchNormalization": batchnorm,
    "Relu": lambda a, x: np.maximum(x, 0),
    "Clip": lambda a, x, lo=None, hi=None: np.clip(x, lo, hi),
    "Add": lambda a, x, y: x + y,
    "Sub": lambda a, x, y: x - y,
    "Mul": lambda a, x, y: x * y,
    "MatMul": lambda a, x, y: x @ y,
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
    "InstanceNormalization": instance_norm,
    "LRN": lrn,
    "Reshape": reshape,
    "Sigmoid": lambda a, x: 1 / (1 + np.exp(-x)),
    "Tanh": lambda a, x: np.tanh(x),
    "Erf": lambda a, x: np.vectorize(math.erf)(x),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": lambda a, x: x * np.clip(x / 6 + 0.5, 0, 1),
    "Elu": lambda a, x: np.where(x > 0, x, a["alpha"] * np.expm1(x)),
    "LeakyRelu": lambda a, x: np.where(x > 0, x, a["alpha"] * x),
    "Concat": lambda a, *x: np.concatenate(x, axis=a["axis"]),
    "MaxPool": lambda a, x: windows(x, a, -np.inf).max(axis=(4, 5)),
    "AveragePool": average,
    "GlobalAveragePool": lambda a, x: x.mean(axis=(2, 3), keepdims=True),
    "Flatten": lambda a, x: x.reshape(x.shape[0], -1),
    "Transpose": lambda a, x: x.transpose(a["perm"]),
    "Constant": lambda a: np.array(a["value_floats"], np.float32),
    "Pad": pad,
    "Resize": resize,
    "Shape": lambda a, x: np.array(x.shape),
    "Expand": lambda a, x, shape: x * np.ones(shape),
    "Slice": cut,
    "Gather": lambda a, x, i: np.take(x, i, axis=a.get("axis", 0)),
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Identity": lambda a, x: x,
    "QuantizeLinear": quantize,
    "DynamicQuantizeLinear": dynamic,
    "MatMulInteger": integers,
    "Cast": lambda a, x: x.astype({1: np.float64, 2: np.uint8, 7: np.int64,
                                   11: np.float64}[a["to"]]),
    "DequantizeLinear": dequantize,
}


def run(graph, x):
    value = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    value[graph.input[0].name] = x.astype(np.float64)
    for n in graph.node:
        a = {i.name: onnx.helper.get_attribute_value(i) for i in n.attribute}
        y = OPS[n.op_type](a, *[value[i] if i else None for i in n.input])
        value.update(zip(n.output, y if isinstance(y, tuple) else (y,)))
    return value[graph.output[0].name]


def main(path, samples, logits, out):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    shape_inference.infer_shapes(model, strict_mode=True)
    graph = model.graph
    dims = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    x = np.fromfile(samples, np.float32).reshape([-1] + dims[1:])
    want = np.fromfile(logits, np.float32).reshape(-1, classes)
    got = run(graph, x)
    assert got.shape == want.shape, (got.shape, want.shape)
    got.astype(np.float32).tofile(out)
    print(len(x), int((got.argmax(1) != want.argmax(1)).sum()),
          "%.6g" % np.abs(got - want).max(), "%.6g" % want.std(),
          sum(n.op_type == "DequantizeLinear" for n in graph.node))


main(*sys.argv[1:])
