# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads TFLite models, with every offset checked: a reader of its own, so that
nothing is taken for granted that the writer thinks.  Numbers of fields are those
of TFLite's schema, version 3; the layout is FlatBuffers'."""
import struct
import numpy

TYPES = {0: numpy.float32, 2: numpy.int32, 3: numpy.uint8, 9: numpy.int8}
OPERATORS = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D",
    4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE", 9: "FULLY_CONNECTED",
    14: "LOGISTIC", 17: "MAX_POOL_2D", 18: "MUL", 22: "RESHAPE",
    23: "RESIZE_BILINEAR", 25: "SOFTMAX", 28: "TANH", 34: "PAD", 36: "GATHER",
    39: "TRANSPOSE", 40: "MEAN", 41: "SUB", 47: "EXP", 50: "LOG_SOFTMAX",
    54: "PRELU", 55: "MAXIMUM", 57: "MINIMUM", 60: "PADV2",
    82: "REDUCE_MAX", 89: "REDUCE_MIN", 97: "RESIZE_NEAREST_NEIGHBOR",
    98: "LEAKY_RELU", 101: "ABS", 111: "ELU", 114: "QUANTIZE",
    117: "HARD_SWISH", 126: "BATCH_MATMUL", 150: "GELU"}
# the table of options of an operator, and its fields: name, number, kind, default
WINDOW = [("padding", 0, "b", 0), ("stride_w", 1, "i", 0),
          ("stride_h", 2, "i", 0)]
OPTIONS = {
    "CONV_2D": (1, WINDOW + [("activation", 3, "b", 0),
                             ("dilation_w", 4, "i", 1),
                             ("dilation_h", 5, "i", 1)]),
    "DEPTHWISE_CONV_2D": (2, WINDOW + [("multiplier", 3, "i", 0),
                                       ("activation", 4, "b", 0),
                                       ("dilation_w", 5, "i", 1),
                                       ("dilation_h", 6, "i", 1)]),
    "MAX_POOL_2D": (5, WINDOW + [("width", 3, "i", 0), ("height", 4, "i", 0),
                                 ("activation", 5, "b", 0)]),
    "FULLY_CONNECTED": (8, [("activation", 0, "b", 0), ("keep", 2, "b", 0)]),
    "SOFTMAX": (9, [("beta", 0, "f", 0)]),
    "CONCATENATION": (10, [("axis", 0, "i", 0), ("activation", 1, "b", 0)]),
    "ADD": (11, [("activation", 0, "b", 0)]),
    "RESIZE_BILINEAR": (15, [("align", 2, "b", 0), ("half", 3, "b", 0)]),
    "MUL": (21, [("activation", 0, "b", 0)]),
    "GATHER": (23, [("axis", 0, "i", 0), ("batch", 1, "i", 0)]),
    "MEAN": (27, [("keep", 0, "b", 0)]),
    "SUB": (28, [("activation", 0, "b", 0)]),
    "RESIZE_NEAREST_NEIGHBOR": (74, [("align", 0, "b", 0),
                                     ("half", 1, "b", 0)]),
    "LEAKY_RELU": (75, [("alpha", 0, "f", 0)]),
    "BATCH_MATMUL": (101, [("adj_x", 0, "b", 0), ("adj_y", 1, "b", 0)]),
    "GELU": (116, [("approximate", 0, "b", 0)])}
OPTIONS["AVERAGE_POOL_2D"] = OPTIONS["MAX_POOL_2D"]
for name in "REDUCE_MAX", "REDUCE_MIN":
    OPTIONS[name] = OPTIONS["MEAN"]


class Table:
    """A table of the file, whose fields are read by their numbers."""

    def __init__(self, data, at):
        self.data, self.at = data, at
        assert at % 4 == 0, "a table lies at %d" % at
        self.vtable = at - self.number("<i", at, 4)
        assert self.vtable % 2 == 0
        size = self.number("<H", self.vtable, 2)
        self.size = self.number("<H", self.vtable + 2, 2)
        assert size % 2 == 0 and size >= 4 and self.size >= 4
        assert at + self.size <= len(data), "a table leaves the file"
        self.fields = [self.number("<H", self.vtable + 4 + 2 * i, 2)
                       for i in range((size - 4) // 2)]

    def number(self, kind, at, size):
        assert 0 <= at <= len(self.data) - size, "%d lies outside" % at
        return struct.unpack_from(kind, self.data, at)[0]

    def where(self, field, size):
        offset = self.fields[field] if field < len(self.fields) else 0
        if offset == 0:
            return None
        assert offset >= 4 and offset + size <= self.size
        assert (self.at + offset) % size == 0, "a field is not aligned"
        return self.at + offset

    def get(self, field, kind, default):
        at = self.where(field, {"b": 1, "B": 1}.get(kind, 4))
        return default if at is None else self.number(
            "<" + kind, at, struct.calcsize(kind))

    def target(self, field):
        at = self.where(field, 4)
        return None if at is None else at + self.number("<I", at, 4)

    def table(self, field):
        at = self.target(field)
        return None if at is None else Table(self.data, at)

    def vector(self, field, kind):
        """Numbers of a vector, as an array."""
        at = self.target(field)
        if at is None:
            return numpy.zeros(0, kind)
        n, size = self.number("<I", at, 4), numpy.dtype(kind).itemsize
        assert at % 4 == 0 and (at + 4) % size == 0
        assert at + 4 + n * size <= len(self.data), "a vector leaves the file"
        return numpy.frombuffer(self.data, kind, n, at + 4)

    def string(self, field):
        at = self.target(field)
        if at is None:
            return None
        n = self.number("<I", at, 4)
        assert self.data[at + 4 + n] == 0, "a string has no end"
        return self.data[at + 4:at + 4 + n].decode()

    def tables(self, field):
        at = self.target(field)
        if at is None:
            return []
        places = [at + 4 + 4 * i for i in range(self.number("<I", at, 4))]
        return [Table(self.data, p + self.number("<I", p, 4)) for p in places]


class Tensor:
    def __init__(self, t, buffers):
        self.name = t.string(3)
        self.shape = tuple(int(d) for d in t.vector(0, "<i4"))
        self.dtype = TYPES[t.get(1, "b", 0)]
        q = t.table(4)
        self.scale = q.vector(2, "<f4") if q else numpy.zeros(0, "f4")
        self.zero = q.vector(3, "<i8") if q else numpy.zeros(0, "i8")
        self.axis = q.get(6, "i", 0) if q else 0
        assert len(self.scale) == len(self.zero)
        assert len(self.scale) < 2 or len(self.scale) == self.shape[self.axis]
        assert (self.scale > 0).all()
        buffer = t.get(2, "I", 0)
        data, at = buffers[buffer]
        self.data = None
        if buffer > 0:
            assert at % 16 == 0, "%s lies at %d" % (self.name, at)
            self.data = data.view(self.dtype).reshape(self.shape)


class Node:
    def __init__(self, o, codes, tensors):
        self.op, self.version = codes[o.get(0, "I", 0)]
        self.inputs = [tensors[i] for i in o.vector(1, "<i4")]
        self.outputs = [tensors[i] for i in o.vector(2, "<i4")]
        kind, options = o.get(3, "B", 0), o.table(4)
        expected, fields = OPTIONS.get(self.op, (0, []))
        assert kind == expected, "%s has options %d" % (self.op, kind)
        for name, number, how, default in fields:
            setattr(self, name, options.get(number, how, default))
        if options:
            known = [f[1] for f in fields]
            assert all(i in known for i, p in enumerate(options.fields) if p)


class Model:
    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        assert data[4:8] == b"TFL3", "no TFLite model"
        root = Table(data, struct.unpack_from("<I", data)[0])
        assert root.get(0, "I", 0) == 3
        buffers = []
        for b in root.tables(4):
            bytes_ = b.vector(0, "u1")
            buffers.append((bytes_, (b.target(0) or 0) + 4))
        assert len(buffers[0][0]) == 0, "buffer 0 is not empty"
        codes = []
        for c in root.tables(1):
            code, old = c.get(3, "i", 0), c.get(0, "b", 0)
            assert old == min(code, 127)
            codes.append((OPERATORS[code], c.get(2, "i", 1)))
        graph, = root.tables(2)
        self.tensors = [Tensor(t, buffers) for t in graph.tables(0)]
        self.inputs = [self.tensors[i] for i in graph.vector(1, "<i4")]
        self.outputs = [self.tensors[i] for i in graph.vector(2, "<i4")]
        self.nodes = [Node(o, codes, self.tensors) for o in graph.tables(3)]
        self.description = root.string(3)
        self.metadata = {m.string(0): bytes(buffers[m.get(1, "I", 0)][0])
                         for m in root.tables(6)}
        signature, = root.tables(7)
        for field, ends in (0, self.inputs), (1, self.outputs):
            assert [self.tensors[m.get(1, "I", 0)]
                    for m in signature.tables(field)] == ends
        self.names = [[m.string(0) for m in signature.tables(field)]
                      for field in (0, 1)]
        self.check()

    def check(self):
        """Each tensor is made once, before it is read."""
        known = {t.name for t in self.tensors if t.data is not None}
        assert len({t.name for t in self.tensors}) == len(self.tensors), \
            "two tensors of one name"
        known |= {t.name for t in self.inputs}
        for n in self.nodes:
            for t in n.inputs:
                assert t.name in known, "%s is read too early" % t.name
            for t in n.outputs:
                assert t.name not in known, "%s is made twice" % t.name
                known.add(t.name)
        assert all(t.name in known for t in self.outputs)

    def maker(self, name):
        for n in self.nodes:
            if n.outputs[0].name == name:
                return n
        raise KeyError(name)
