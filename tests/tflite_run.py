# SPDX-License-Identifier: LGPL-2.1-or-later
"""Computes TFLite models, with the roundings of either side:
TFLite's, as it documents them: in integers, with multipliers of 31 bits, rounded
twice (gemmlowp's fixed point); or ours, those of qatkit/numeric.h, with which the
file gives our bytes where it has the same operators."""
import math
import numpy

I64 = numpy.int64


# ---- fixed point ------------------------------------------------------------

def multiplier(m):
    """A positive number as one of 31 bits, and a shift to the left."""
    if m == 0:
        return 0, 0
    part, shift = math.frexp(m)
    q = int(math.floor(part * (1 << 31) + 0.5))
    if q == 1 << 31:
        q, shift = q // 2, shift + 1
    return (0, 0) if shift < -31 else (q, shift)


def high_mul(a, b, bits=32):
    """SaturatingRoundingDoublingHighMul."""
    ab = a.astype(I64) * b
    nudge = numpy.where(ab >= 0, 1 << (bits - 2), 1 - (1 << (bits - 2)))
    r = ab + nudge
    r = numpy.sign(r) * (abs(r) >> (bits - 1))
    return numpy.minimum(r, (1 << (bits - 1)) - 1)


def shift_right(x, n):
    """RoundingDivideByPOT: to the nearest, halves away from 0."""
    mask = (1 << n) - 1
    return (x >> n) + ((x & mask) > (mask >> 1) + (x < 0))


def scaled(x, m):
    """MultiplyByQuantizedMultiplier."""
    x = numpy.asarray(x, I64)
    q, shift = multiplier(float(m))
    x = x << max(shift, 0)
    assert abs(x).max(initial=0) < 1 << 31
    return shift_right(high_mul(x, q), max(-shift, 0))


def away(x):
    """Rounded, halves away from 0."""
    return numpy.sign(x) * numpy.floor(abs(x) + 0.5)


def scale_of(t):
    return float(t.scale[0])


# ---- the roundings of either side -------------------------------------------

class TFLite:
    """The roundings that TFLite documents."""

    round = staticmethod(away)

    @staticmethod
    def product(x, a, b, out):
        """x on the grid of the scales a b, on that of the scale out."""
        return scaled(x, float(a) * float(b) / float(out))

    @classmethod
    def times(cls, x, y, a, b, out):
        return cls.product(x * y, a, b, out)

    @staticmethod
    def sum(x, y, a, b, out):
        a, b, out = float(a), float(b), float(out)
        most = 2 * max(a, b)
        s = scaled(x << 20, a / most) + scaled(y << 20, b / most)
        return scaled(s, most / ((1 << 20) * out))

    @staticmethod
    def mean(q, count, zero):
        return numpy.sign(q) * ((abs(q) + count // 2) // count) - zero


class Ours:
    """The formulas of qatkit/numeric.h, in float32 and to even."""

    round = staticmethod(numpy.rint)

    @staticmethod
    def product(x, a, b, out):
        f = numpy.float32
        return numpy.rint(x.astype(f) * (f(a) * f(b) / f(out))).astype(I64)

    @staticmethod
    def times(x, y, a, b, out):
        f = numpy.float32
        s = (x.astype(f) * f(a)) * (y.astype(f) * f(b))
        return numpy.rint(s * (f(1) / f(out))).astype(I64)

    @staticmethod
    def sum(x, y, a, b, out):
        f = numpy.float32
        s = x.astype(f) * f(a) + y.astype(f) * f(b)
        return numpy.rint(s * (f(1) / f(out))).astype(I64)

    @staticmethod
    def mean(q, count, zero):
        f = numpy.float32
        s = q - count * zero
        return numpy.rint(s.astype(f) / count.astype(f)).astype(I64)


def centred(x, t):
    return x.astype(I64) - int(t.zero[0])


def finished(x, t, activation=0):
    """On T's zero point, within what int8 and the activation allow."""
    zero, lo, hi = int(t.zero[0]), -128, 127
    if activation in (1, 3):
        lo = max(lo, zero)
    if activation == 3:
        hi = min(hi, zero + int(away(numpy.float32(6) / t.scale[0])))
    assert activation in (0, 1, 3)
    return numpy.clip(x + zero, lo, hi).astype(numpy.int8)


def table(x, i, o, function, how):
    q = numpy.arange(-128, 128) - int(i.zero[0])
    if how is Ours:
        y = function(q.astype(numpy.float32) * i.scale[0])
        y = numpy.rint(y.astype(numpy.float32) * (1 / o.scale[0]))
    else:
        y = away(function(q * scale_of(i)) / scale_of(o))
    return finished(y.astype(I64), o)[x.astype(I64) + 128]


# ---- windows ------------------------------------------------------------------

def windows(x, n, size, fill):
    """The windows of x, (N,P,Q,R,S,C); outside of it is FILL."""
    stride = n.stride_h, n.stride_w
    dilation = getattr(n, "dilation_h", 1), getattr(n, "dilation_w", 1)
    pads = []
    for i in range(2):
        reach = (size[i] - 1) * dilation[i] + 1
        if n.padding == 0:
            out = -(-x.shape[1 + i] // stride[i])
            total = max((out - 1) * stride[i] + reach - x.shape[1 + i], 0)
            pads.append((total // 2, total - total // 2))
        else:
            pads.append((0, 0))
    x = numpy.pad(x, [(0, 0)] + pads + [(0, 0)], constant_values=fill)
    p, q = ((x.shape[1 + i] - (size[i] - 1) * dilation[i] - 1) // stride[i] + 1
            for i in range(2))
    rows = (numpy.arange(p) * stride[0])[:, None] + (
        numpy.arange(size[0]) * dilation[0])[None]
    cols = (numpy.arange(q) * stride[1])[:, None] + (
        numpy.arange(size[1]) * dilation[1])[None]
    return x[:, rows[:, None, :, None], cols[None, :, None, :], :]


def weighted_sums(n, x, w):
    """Sums of a convolution, exact in float64."""
    depthwise = n.op == "DEPTHWISE_CONV_2D"
    v = windows(x, n, w.shape[1:3], 0).astype(numpy.float64)
    w = w.astype(numpy.float64)
    if depthwise:
        k = w.shape[3] // x.shape[3]
        assert n.multiplier == k
        return numpy.einsum("npqrsc,rsc->npqc", numpy.repeat(v, k, 5), w[0])
    groups = x.shape[3] // w.shape[3]
    parts = [numpy.einsum("npqrsc,krsc->npqk", a, b, optimize=True)
             for a, b in zip(numpy.split(v, groups, 5),
                             numpy.split(w, groups, 0))]
    return numpy.concatenate(parts, 3)


def weighted(n, x, how):
    i, w, b = n.inputs
    o, = n.outputs
    linear = n.op == "FULLY_CONNECTED"
    if o.dtype == numpy.float32:
        y = (x[0].astype(numpy.float64) @ x[1].T if linear
             else weighted_sums(n, x[0], x[1]))
        return (y + x[2]).astype(numpy.float32)
    a = centred(x[0], i)
    acc = (a.astype(numpy.float64) @ x[1].T if linear
           else weighted_sums(n, a, x[1])).astype(I64) + x[2]
    if linear:
        assert len(w.scale) == 1, "several scales, which old runtimes ignore"
    scale = numpy.broadcast_to(w.scale, acc.shape[-1:])
    y = numpy.stack([how.product(acc[..., k], i.scale[0], scale[k], o.scale[0])
                     for k in range(acc.shape[-1])], -1)
    # biases have no scale of their own
    assert (b.scale == i.scale[0] * w.scale).all() and not b.zero.any()
    return finished(y, o, n.activation)


def pool(n, x, how):
    o, = n.outputs
    size, zero = (n.height, n.width), int(o.zero[0])
    same_grid(n)
    if n.op == "MAX_POOL_2D":
        y = windows(x[0].astype(I64), n, size, -128).max((3, 4)) - zero
    else:
        s = windows(x[0].astype(I64), n, size, 0).sum((3, 4))
        one = numpy.ones(x[0].shape[:3] + (1,), I64)
        y = how.mean(s, windows(one, n, size, 0).sum((3, 4)), zero)
    return finished(y, o, n.activation)


# ---- elements -------------------------------------------------------------------

def add(n, x, how):
    (a, b), (o,) = n.inputs, n.outputs
    other = centred(x[1], b)
    y = how.sum(centred(x[0], a), other if n.op == "ADD" else -other,
                a.scale[0], b.scale[0], o.scale[0])
    return finished(y, o, n.activation)


def mul(n, x, how):
    (a, b), (o,) = n.inputs, n.outputs
    m = scale_of(a) * scale_of(b) / scale_of(o)
    assert n.version == (3 if m >= 1 else 2)
    y = how.times(centred(x[0], a), centred(x[1], b), a.scale[0], b.scale[0],
                  o.scale[0])
    return finished(y, o, n.activation)


def half_word(m):
    q, shift = multiplier(m)
    top = 32767 if q >= (1 << 31) - 1 - (1 << 15) else (q + (1 << 15)) >> 16
    return top, shift


def clip16(x):
    return numpy.clip(x, -32768, 32767)


def hard_swish(n, x, how):
    (i,), (o,) = n.inputs, n.outputs
    if how is Ours:
        return table(x[0], i, o, lambda x: x * numpy.clip(x + 3, 0, 6) / 6,
                     how)
    fine = scale_of(i) / 128
    out_m, out_shift = half_word(fine / scale_of(o))
    relu_m, relu_shift = half_word(fine / (3 / 32768))
    assert out_shift <= 0
    v = centred(x[0], i) << 7
    y = high_mul(v, out_m, 16)
    r = clip16(v << (relu_shift - 1)) if relu_shift > 0 else v
    r = high_mul(r, relu_m, 16)
    r = clip16(r << 1) if relu_shift > 0 else shift_right(r, -relu_shift)
    r = (r + (1 << 15)) >> 1
    product = r * y
    y = numpy.sign(product) * (abs(product) >> 15)
    return finished(shift_right(y, -out_shift), o)


def slopes(n, x, how):
    i, o = n.inputs[0], n.outputs[0]
    v = centred(x[0], i)
    above = how.product(v, i.scale[0], 1, o.scale[0])
    if n.op == "LEAKY_RELU":
        below = how.product(v, i.scale[0], abs(n.alpha), o.scale[0])
        below = below if n.alpha > 0 else -below
    else:
        a = n.inputs[1]
        below = how.product(v * centred(x[1], a), i.scale[0], a.scale[0],
                            o.scale[0])
    return finished(numpy.where(v >= 0, above, below), o)


def erf(x):
    return numpy.vectorize(math.erf)(x)


FUNCTIONS = {
    "LOGISTIC": lambda x: 1 / (1 + numpy.exp(-x)),
    "TANH": numpy.tanh,
    "EXP": numpy.exp,
    "ABS": abs,
    "ELU": lambda x: numpy.where(x < 0, numpy.expm1(x), x)}


def function(n, x, how):
    (i,), (o,) = n.inputs, n.outputs
    if n.op == "LOGISTIC":
        assert (scale_of(o), o.zero[0]) == (1 / 256, -128)
    if n.op == "TANH":
        assert (scale_of(o), o.zero[0]) == (1 / 128, 0)
    if n.op != "GELU":
        f = FUNCTIONS[n.op]
    elif n.approximate:
        def f(x): return x / 2 * (1 + numpy.tanh(
            math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))
    else:
        def f(x): return x / 2 * (1 + erf(x / math.sqrt(2)))
    return table(x[0], i, o, f, how)


def softmax(n, x, how):
    (i,), (o,) = n.inputs, n.outputs
    v = x[0].astype(numpy.float64)
    if i.dtype == numpy.int8:
        assert (scale_of(o), o.zero[0]) == (1 / 256, -128)
        v = v * scale_of(i)
    v = v - v.max(-1, keepdims=True)
    y = v - numpy.log(numpy.exp(v).sum(-1, keepdims=True))
    if n.op == "SOFTMAX":
        y = numpy.exp(y * n.beta)
    if o.dtype == numpy.float32:
        return y.astype(numpy.float32)
    return finished(how.round(y * 256).astype(I64), o)


def quantize(n, x, how):
    (i,), (o,) = n.inputs, n.outputs
    if i.dtype == numpy.float32:
        return finished(how.round(x[0] * (1 / o.scale[0])).astype(I64), o)
    y = how.sum(centred(x[0], i), numpy.zeros(1, I64), i.scale[0], 0,
                o.scale[0]) if how is Ours else how.product(
                    centred(x[0], i), i.scale[0], 1, o.scale[0])
    if o.dtype == numpy.int8:
        return finished(y, o)
    return numpy.clip(y + int(o.zero[0]), 0, 255).astype(numpy.uint8)


def dequantize(n, x, how):
    i, = n.inputs
    scale = i.scale
    if len(scale) > 1:
        scale = scale.reshape([-1 if a == i.axis else 1
                               for a in range(len(i.shape))])
    return (centred(x[0], i) * scale).astype(numpy.float32)


# ---- places ----------------------------------------------------------------------

def same_grid(n):
    o, = n.outputs
    for t in n.inputs:
        if t.dtype == numpy.int8:
            assert t.scale[0] == o.scale[0] and t.zero[0] == o.zero[0], \
                "%s changes the grid" % n.op


def pad(n, x, how):
    same_grid(n)
    fill = x[2].ravel()[0] if n.op == "PADV2" else int(n.outputs[0].zero[0])
    return numpy.pad(x[0], x[1], constant_values=fill)


def reduce(n, x, how):
    (i, _), (o,) = n.inputs, n.outputs
    axes, keep = tuple(int(a) for a in x[1]), bool(n.keep)
    if n.op == "REDUCE_MAX":
        return x[0].max(axes, keepdims=keep)
    if n.op == "REDUCE_MIN":
        return x[0].min(axes, keepdims=keep)
    s = centred(x[0], i).sum(axes, keepdims=keep)
    same_grid(n)
    count = numpy.asarray(x[0].size // s.size)
    y = how.mean(s, count, 0) if how is Ours else scaled(s, 1 / count)
    return finished(y, o)


def nearest(n, x, how):
    same_grid(n)
    y = x[0]
    for axis in (1, 2):
        size, out = y.shape[axis], int(x[1][axis - 1])
        ratio = ((size - 1) / (out - 1) if n.align and out > 1 else size / out)
        at = (numpy.arange(out) + (0.5 if n.half else 0)) * numpy.float32(ratio)
        at = away(at) if n.align else numpy.floor(at)
        y = numpy.take(y, numpy.clip(at, 0, size - 1).astype(int), axis)
    return y


def bilinear(n, x, how):
    same_grid(n)
    places = []
    for axis in (1, 2):
        size, out = x[0].shape[axis], int(x[1][axis - 1])
        step = ((1 << 10) * size + out // 2) // out
        if n.align and out > 1:
            step = ((1 << 10) * (size - 1) + (out - 1) // 2) // (out - 1)
        at = numpy.arange(out) * step
        if n.half:
            at = at + step // 2 - (1 << 9)
        low = numpy.maximum(at >> 10, 0)
        high = numpy.minimum((at + (1 << 10) - 1) >> 10, size - 1)
        places.append((low, numpy.maximum(high, 0), at - (low << 10)))
    (y0, y1, fy), (x0, x1, fx) = places
    fy, fx = fy[None, :, None, None], fx[None, None, :, None]
    v = x[0].astype(I64)
    one = 1 << 10
    s = (v[:, y0][:, :, x0] * (one - fy) * (one - fx)
         + v[:, y0][:, :, x1] * (one - fy) * fx
         + v[:, y1][:, :, x0] * fy * (one - fx)
         + v[:, y1][:, :, x1] * fy * fx)
    return (numpy.sign(s) * ((abs(s) + (1 << 19)) >> 20)).astype(numpy.int8)


def matmul(n, x, how):
    (i, j), (o,) = n.inputs, n.outputs
    a, b = centred(x[0], i), centred(x[1], j)
    a = a.swapaxes(-1, -2) if n.adj_x else a
    b = b.swapaxes(-1, -2) if n.adj_y else b
    return finished(how.product(a @ b, i.scale[0], j.scale[0], o.scale[0]), o)


def concatenated(n, x, how):
    same_grid(n)
    assert n.activation == 0
    return numpy.concatenate(x, n.axis)


def moved(n, x, how):
    same_grid(n)
    if n.op == "TRANSPOSE":
        return x[0].transpose(x[1])
    if n.op == "GATHER":
        return numpy.take(x[0], x[1], n.axis)
    return (numpy.maximum if n.op == "MAXIMUM" else numpy.minimum)(*x)


def reshape(n, x, how):
    if n.inputs[0].dtype == numpy.int8:
        same_grid(n)
    return x[0].reshape(x[1])


KERNELS = {"CONV_2D": weighted, "DEPTHWISE_CONV_2D": weighted,
           "FULLY_CONNECTED": weighted, "MAX_POOL_2D": pool,
           "AVERAGE_POOL_2D": pool, "ADD": add, "SUB": add, "MUL": mul,
           "HARD_SWISH": hard_swish, "LEAKY_RELU": slopes, "PRELU": slopes,
           "GELU": function, "SOFTMAX": softmax, "LOG_SOFTMAX": softmax,
           "QUANTIZE": quantize, "DEQUANTIZE": dequantize, "PAD": pad,
           "PADV2": pad, "MEAN": reduce, "REDUCE_MAX": reduce,
           "REDUCE_MIN": reduce, "RESIZE_NEAREST_NEIGHBOR": nearest,
           "RESIZE_BILINEAR": bilinear, "BATCH_MATMUL": matmul,
           "CONCATENATION": concatenated, "TRANSPOSE": moved, "GATHER": moved,
           "MAXIMUM": moved, "MINIMUM": moved, "RESHAPE": reshape}
KERNELS.update({name: function for name in FUNCTIONS})


def compute(model, inputs, how=TFLite, check=None):
    """The outputs of MODEL, a Model of tflite_file, by their names.  CHECK is
    called with each node, what it reads and what it gives."""
    value = {t.name: t.data for t in model.tensors if t.data is not None}
    for t, x in zip(model.inputs, inputs):
        assert x.shape[1:] == t.shape[1:], "%s has shape %s" % (t.name, t.shape)
        assert x.dtype == t.dtype
        value[t.name] = x
    for n in model.nodes:
        o, = n.outputs
        given = [value[t.name] for t in n.inputs]
        y = KERNELS[n.op](n, given, how)
        assert y.shape[1:] == o.shape[1:], "%s %s gives %s, not %s" % (
            n.op, o.name, y.shape, o.shape)
        assert y.dtype == o.dtype, "%s gives %s" % (n.op, y.dtype)
        if check:
            check(n, given, y)
        value[o.name] = y
    return {name: value[t.name]
            for name, t in zip(model.names[1], model.outputs)}
