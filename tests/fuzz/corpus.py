# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the folders of corpus/ that the fuzz targets for safetensors, onnx,
network, checkpoint, model, ini and npy start from: small good files and one file for
each way to be wrong."""
import io
import json
import os
import struct
import zipfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))


def put(folder, name, header, data=b"", length=None):
    if isinstance(header, dict):
        header = json.dumps(header, separators=(",", ":"))
    if isinstance(header, str):
        header = header.encode()
    folder = os.path.join(HERE, "corpus", folder)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as out:
        n = len(header) if length is None else length
        out.write(struct.pack("<Q", n) + header + data)


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors():
    good = {"__metadata__": {"format": "pt"}, "w": entry("F32", [2, 1], 0, 8),
            "h": entry("F16", [2], 8, 12), "b": entry("BF16", [1], 12, 14),
            "u": entry("U8", [], 14, 15), "t": entry("BOOL", [1], 15, 16)}
    put("safetensors", "good", good, bytes(range(16)))
    put("safetensors", "wide", {"i": entry("I64", [1], 0, 8),
                                "d": entry("F64", [1], 8, 16),
                                "k": entry("I32", [1], 16, 20),
                                "s": entry("I8", [1, 1, 1, 1], 20, 21),
                                "e": entry("F32", [0, 7], 21, 21)}, bytes(21))
    put("safetensors", "empty", "{}")
    put("safetensors", "five-dims", {"a": entry("U8", [1] * 5, 0, 1)}, b"x")
    put("safetensors", "nine-dims", {"a": entry("U8", [1] * 9, 0, 1)}, b"x")
    put("safetensors", "u16", {"a": entry("U16", [1], 0, 2)}, b"xy")
    put("safetensors", "padded", "{}      ")
    put("safetensors", "short", good, b"x")
    put("safetensors", "length", "{}", length=2**64 - 1)
    put("safetensors", "length-3", "{}", length=3)
    put("safetensors", "not-json", "{\"a\"}")
    put("safetensors", "twice", '{"a":{"dtype":"U8","shape":[1],'
        '"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],'
        '"data_offsets":[1,2]}}', b"xy")
    put("safetensors", "deep", "{" + "\"a\":{" * 50)
    put("safetensors", "lists", "{\"a\":" + "[" * 50)
    put("safetensors", "overlap", {"a": entry("U8", [4], 0, 4),
                                   "b": entry("U8", [4], 2, 6)}, bytes(6))
    put("safetensors", "hole", {"a": entry("U8", [1], 0, 1),
                                "b": entry("U8", [1], 2, 3)}, bytes(3))
    put("safetensors", "beyond", {"a": entry("U8", [4], 0, 4)}, bytes(3))
    put("safetensors", "negative", {"a": entry("U8", [4], -4, 0)}, bytes(4))
    put("safetensors", "backwards", {"a": entry("U8", [4], 4, 0)}, bytes(4))
    put("safetensors", "product", {"a": entry("U8", [2**32, 2**32], 0, 0)})
    put("safetensors", "product-zero", {"a": entry("F64", [2**61], 0, 0)})
    put("safetensors", "big-number", {"a": entry("U8", [2**70], 0, 1)}, b"x")
    put("safetensors", "real", {"a": entry("U8", [1.0], 0, 1)}, b"x")
    put("safetensors", "metadata", {"__metadata__": {"a": 1}})
    put("safetensors", "utf8", b'{"\xff":{}}')
    put("safetensors", "control", {"\x1b[2J": entry("U8", [1], 0, 1)}, b"x")


def varint(v):
    out = b""
    while v > 127:
        out += bytes([v & 127 | 128])
        v >>= 7
    return out + bytes([v])


def field(number, value):
    """A field of a protocol buffer: a varint or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name, dims, data, dtype=1, data_field=9):
    return field(5, b"".join(field(1, d) for d in dims) + field(2, dtype)
                 + field(8, name) + field(data_field, data))


def onnx():
    folder = os.path.join(HERE, "corpus", "onnx")
    os.makedirs(folder, exist_ok=True)

    def model(name, graph, before=field(1, 7), after=b""):
        with open(os.path.join(folder, name), "wb") as out:
            out.write(before + field(7, graph) + after)

    node = field(1, field(1, b"x") + field(2, b"y") + field(4, b"Relu"))
    good = (node + field(2, b"g") + tensor(b"w", [2, 1], bytes(8))
            + tensor(b"i", [3], bytes(3), 3)
            + tensor(b"f", [1], bytes(4), 1, 4)
            + tensor(b"d", [1], bytes(8), 11, 10)
            + tensor(b"scalar", [], bytes(4)) + tensor(b"s", [1], bytes(8), 7))
    model("good", good, after=field(8, field(2, 13)))
    model("packed", field(5, field(1, varint(2) + varint(300)) + field(2, 2)
                          + field(8, b"p") + field(9, bytes(600))))
    model("typed", tensor(b"t", [1], b"\1", 6, 5))
    model("external", field(5, field(1, 4) + field(2, 1) + field(8, b"e")
                            + field(13, b"") + field(14, 1)))
    model("parts", field(5, field(1, 2) + field(2, 2) + field(8, b"h")
                         + field(9, b"a") + field(9, b"b")))
    model("five-dims", tensor(b"a", [1] * 5, bytes(4)))
    model("half", tensor(b"h", [1], bytes(2), 10))
    model("size", tensor(b"w", [3], bytes(8)))
    model("product", tensor(b"w", [2**62, 2**62], b""))
    model("product-zero", tensor(b"w", [0, 2**62, 2**62], b""))
    model("negative", tensor(b"w", [2**64 - 1], b""))
    model("no-name", tensor(b"", [1], bytes(4)))
    model("control", tensor(b"\x1b[2J", [1], bytes(4)))
    model("two-graphs", b"", after=field(7, b""))
    model("cut", good[:-3] + b"\x7f")
    model("key-zero", b"\0\0")
    model("group", b"\x2b\x2c")
    model("long-varint", b"\x08" + b"\xff" * 12)
    model("deep", field(1, field(5, field(6, field(1, field(5, b""))))))
    with open(os.path.join(folder, "no-graph"), "wb") as out:
        out.write(field(1, 7))


def reals(*x):
    return struct.pack("<%df" % len(x), *x)


def whole(*x):
    return struct.pack("<%dq" % len(x), *x)


def attribute(name, value):
    """An attribute of a node: a number, a list of them, a text, a message."""
    a = field(1, name.encode())
    if isinstance(value, float):
        return a + varint(2 << 3 | 5) + struct.pack("<f", value) + field(20, 1)
    if isinstance(value, int):
        return a + field(3, value & (2**64 - 1)) + field(20, 2)
    if isinstance(value, str):
        return a + field(4, value.encode()) + field(20, 3)
    if isinstance(value, bytes):
        return a + value
    return a + b"".join(field(8, v & (2**64 - 1)) for v in value) \
        + field(20, 7)


def node(op, inputs, outputs, name="", domain="", number=1, **attributes):
    """A node; inputs and outputs are names with blanks between them.  NUMBER is
    7 in functions."""
    return field(number, b"".join(field(1, i.encode()) for i in inputs.split(" "))
                 + b"".join(field(2, o.encode()) for o in outputs.split(" "))
                 + (field(3, name.encode()) if name else b"")
                 + field(4, op.encode())
                 + b"".join(field(5, attribute(k, v))
                            for k, v in attributes.items())
                 + (field(7, domain.encode()) if domain else b""))


def end(number, name, dims, dtype=1):
    """An input (11) or output (12) of a graph; a dimension is a number or the
    name of an open one."""
    shape = b"".join(field(1, field(1, d) if isinstance(d, int)
                           else field(2, d.encode())) for d in dims)
    return field(number, field(1, name.encode())
                 + field(2, field(1, field(1, dtype) + field(2, shape))))


def opset(number, version, domain=""):
    return field(number, field(1, domain.encode()) + field(2, version))


def function(name, inputs, outputs, *nodes, attributes=()):
    """A function of the domain f, in opset 13."""
    return field(25, field(1, name.encode())
                 + b"".join(field(4, i.encode()) for i in inputs.split(" "))
                 + b"".join(field(5, o.encode()) for o in outputs.split(" "))
                 + b"".join(field(6, a.encode()) for a in attributes)
                 + b"".join(nodes) + opset(9, 13) + opset(9, 1, "f")
                 + field(10, b"f"))


def networks():
    """Whole networks: x goes in, y comes out."""
    folder = os.path.join(HERE, "corpus", "network")
    os.makedirs(folder, exist_ok=True)

    def model(name, *parts, x=("N", 3, 8, 8), version=13, y="y",
              functions=()):
        graph = b"".join(parts) + field(2, b"g") + end(11, "x", x) \
            + end(12, y, ["N"])
        with open(os.path.join(folder, name), "wb") as out:
            out.write(field(1, 8) + field(7, graph) + opset(8, version)
                      + b"".join(functions))

    w = tensor(b"c.weight", [4, 3, 3, 3], reals(*[.01 * i for i in range(108)]))
    b = tensor(b"c.bias", [4], reals(1, 2, 3, 4))
    bn = b"".join(tensor(n.encode(), [4], reals(*v)) for n, v in (
        ("g", (1, 2, 1, .5)), ("h", (0, 1, 0, -1)), ("m", (0, 0, 1, 1)),
        ("v", (1, 1, 2, 2))))
    fc = tensor(b"fc.weight", [2, 4], reals(*range(8)))
    conv = node("Conv", "x c.weight c.bias", "c", "conv", pads=[1, 1, 1, 1],
                strides=[2, 2])
    good = (w + b + bn + fc + conv
            + node("BatchNormalization", "c g h m v", "b", "bn", epsilon=1e-3)
            + node("Relu", "b", "r", "relu")
            + node("GlobalAveragePool", "r", "p", "pool")
            + node("Flatten", "p", "f", "flat", axis=1)
            + node("Gemm", "f fc.weight", "y", "fc", transB=1))
    model("good", good)
    model("batch", good, x=(2, 3, 8, 8))
    model("sorted-not", w + b + node("Relu", "c", "y", "last") + conv)
    shape = (node("Shape", "c", "s") + tensor(b"zero", [1], whole(0), 7)
             + node("Gather", "s zero", "n", axis=0)
             + tensor(b"rest", [1], whole(-1), 7)
             + node("Concat", "n rest", "t", axis=0)
             + node("Reshape", "c t", "y"))
    model("shapes", w + b + conv + shape)
    model("shuffle", node("Reshape", "x five", "a")
          + tensor(b"five", [5], whole(0, 1, 3, 8, 8), 7)
          + node("Transpose", "a", "t", perm=[0, 2, 1, 3, 4])
          + tensor(b"four", [4], whole(0, -1, 8, 8), 7)
          + node("Reshape", "t four", "y"))
    model("pieces", tensor(b"3", [], reals(3)) + tensor(b"0", [], reals(0))
          + tensor(b"6", [], reals(6)) + node("Add", "x 3", "a")
          + node("Clip", "a 0 6", "k") + node("Mul", "x k", "m")
          + node("Div", "m 6", "y", "swish"))
    model("product", tensor(b"w", [8, 5], reals(*range(40)))
          + tensor(b"b", [5], reals(*range(5)))
          + node("MatMul", "x w", "m") + node("Add", "m b", "y"))
    # a node that is called as what it computes
    model("alike", node("Transpose", "x", "t", perm=[0, 1, 3, 2])
          + node("MatMul", "x t", "y", "y"))
    model("slices", tensor(b"s", [1], whole(1), 7)
          + tensor(b"e", [1], whole(2**63 - 1), 7)
          + tensor(b"a", [1], whole(-1), 7)
          + node("Slice", "x s e a", "l") + node("Split", "l", "p q", axis=1,
                                                  split=[1, 2])
          + node("Concat", "q p", "y", axis=1))
    # quantized in the file
    grid = (tensor(b"s", [], reals(.05)) + tensor(b"z", [], bytes([120]), 2)
            + tensor(b"t", [], reals(.07)) + tensor(b"n", [], bytes([0]), 2))
    u8 = (tensor(b"u", [], bytes([5]), 2) + tensor(b"v", [], bytes([200]), 2))
    ws = tensor(b"ws", [4], reals(.01, .02, .03, .04)) \
        + tensor(b"wz", [4], bytes(4), 3)
    wq = tensor(b"wq", [4, 3, 3, 3],
                bytes((37 * i) % 251 for i in range(108)), 3)
    bq = tensor(b"bq", [4], struct.pack("<4i", 100, -200, 300, 0), 6) \
        + tensor(b"bs", [4], reals(.0005, .001, .0015, .002))
    pair = node("QuantizeLinear", "x s z", "q", "in") \
        + node("DequantizeLinear", "q s z", "d")
    conv8 = (wq + ws + bq + node("DequantizeLinear", "wq ws wz", "w", axis=0)
             + node("DequantizeLinear", "bq bs", "b", axis=0)
             + node("Conv", "d w b", "c", "conv", pads=[1, 1, 1, 1]))
    model("qdq", grid + u8 + pair + conv8
          + node("QuantizeLinear", "c t n", "r", "out")
          + node("Clip", "r u v", "k") + node("MaxPool", "k", "p", "pool",
                                              kernel_shape=[2, 2])
          + node("DequantizeLinear", "p t n", "y"))
    model("qlinear", grid + wq + ws + bq
          + node("QuantizeLinear", "x s z", "q", "in")
          + node("QLinearConv", "q s z wq ws wz t n bq", "r", "conv",
                 pads=[1, 1, 1, 1])
          + node("QLinearAdd", "r t n r t n s z", "a", "sum",
                 domain="com.microsoft")
          + node("QLinearConcat", "s z a s z r t n", "j", "join",
                 domain="com.microsoft", axis=1)
          + node("DequantizeLinear", "j s z", "y"))
    model("dynamic", wq + tensor(b"f", [], reals(.01))
          + tensor(b"wz", [], bytes(1), 3)
          + node("DynamicQuantizeLinear", "x", "q s z")
          + node("ConvInteger", "q wq z wz", "i") + node("Cast", "i", "c", to=1)
          + node("Mul", "s f", "m") + node("Mul", "c m", "y", "scale"))
    model("mean", grid + tensor(b"1", [], reals(1)) + pair
          + node("QuantizeLinear", "d s z", "i")
          + node("DequantizeLinear", "i 1 z", "j")
          + node("GlobalAveragePool", "j", "k") + node("Round", "k", "l")
          + node("QuantizeLinear", "l 1 z", "m")
          + node("DequantizeLinear", "m s z", "y"))
    model("einsum", tensor(b"w", [3, 5], reals(*range(15)))
          + node("Einsum", "x x", "a", "rows", equation="nchw,nchv->nhwv")
          + node("Einsum", "x w", "b", "by", equation="nchw,ck->n k h w")
          + node("ReduceMean", "a", "m", axes=[1, 2, 3])
          + node("Add", "b m", "y"))
    # what is refused
    model("einsum-absurd", node("Einsum", "x x", "y", "sum",
                                equation="nchwabcdefgh,...->zzz"))
    model("scale-absurd", tensor(b"s", [], reals(float("nan")))
          + tensor(b"z", [], bytes(1), 2) + node("QuantizeLinear", "x s z", "y",
                                                 "in"))
    model("scale-computed", node("QuantizeLinear", "x x x", "q", "in")
          + node("DequantizeLinear", "q x x", "y"))
    model("integers-end", grid + node("QuantizeLinear", "x s z", "y"))
    model("integers-computed", grid + node("QuantizeLinear", "x s z", "q")
          + node("Abs", "q", "a", "abs")
          + node("DequantizeLinear", "a s z", "y"))
    model("qlinear-short", grid + node("QLinearConv", "x s z", "y", "conv"))
    model("qlinear-other", grid + wq + ws
          + node("QuantizeLinear", "x s z", "q", "in")
          + node("QLinearConv", "q t n wq ws wz t n", "r", "conv")
          + node("DequantizeLinear", "r t n", "y"))
    act = function("Act", "x", "y",
                   node("LeakyRelu", "x", "y", "leaky", number=7,
                        alpha=field(21, b"slope") + field(20, 1)),
                   attributes=["slope"])
    block = function("Block", "x w", "z",
                     node("Conv", "x w", "t", "conv", number=7,
                          pads=[1, 1, 1, 1]),
                     node("Act", "t", "u", "act", "f", 7, slope=0.25),
                     node("Add", "u t", "z", number=7))
    calls = (tensor(b"w0", [3, 3, 3, 3], reals(*[.01 * (i - 40)
                                                 for i in range(81)]))
             + node("Block", "x w0", "m", "first", "f")
             + node("Block", "m w0", "y", domain="f"))
    model("functions", calls, functions=(act, block))
    model("functions-attribute", calls, functions=(
        function("Act", "x", "y", node("LeakyRelu", "x", "y", number=7,
                                       alpha=field(21, b"none"))), block))
    model("functions-inputs", calls, functions=(
        function("Block", "x", "z", node("Relu", "x", "z", number=7)),))
    model("recursive", node("Again", "x", "y", domain="f"), functions=(
        function("Again", "x", "y", node("Again", "x", "y", domain="f",
                                         number=7)),))
    model("functions-many", node("F21", "x", "y", domain="f"), functions=[
        function("F0", "x", "y", node("Relu", "x", "y", number=7))] + [
        function("F%d" % i, "x", "y",
                 node("F%d" % (i - 1), "x", "t", "a", "f", 7),
                 node("F%d" % (i - 1), "t", "y", "b", "f", 7))
        for i in range(1, 22)])
    model("functions-empty", node("E21", "x", "y", domain="f"), functions=[
        function("E0", "x", "y")] + [
        function("E%d" % i, "x", "y",
                 node("E%d" % (i - 1), "x", "t", "a", "f", 7),
                 node("E%d" % (i - 1), "t", "y", "b", "f", 7))
        for i in range(1, 22)])
    model("circle", node("Relu", "b", "a", "one") + node("Relu", "a", "b")
          + node("Add", "x b", "y"))
    model("dangling", node("Add", "x nothing", "y", "sum"))
    model("twice", node("Relu", "x", "y") + node("Abs", "x", "y"))
    model("no-output", node("Relu", "x", "z"))
    model("foreign", node("Relu", "x", "y", "mine", domain="com.example"))
    model("unknown", node("TopK", "x", "y", "top"))
    model("loop", node("If", "x", "y", "fork", then_branch=field(
        6, node("Relu", "x", "y")) + field(20, 5)))
    model("attribute", node("Relu", "x", "y", "relu", slope=0.5))
    model("weights-computed", node("Conv", "x x", "y", "conv"))
    model("concat-nothing", node("Concat", "x  x", "y", axis=1))
    model("bias-nothing", tensor(b"w", [8, 5], reals(*range(40)))
          + tensor(b"b", [5], reals(*range(5)))
          + node("MatMul", " w", "m") + node("Add", "m b", "y"))
    model("groups", w + b + node("Conv", "x c.weight", "y", "conv", group=2))
    model("kernel", w + b + node("Conv", "x c.weight", "y", "conv",
                                 kernel_shape=[5, 5]))
    model("batch-mixed", node("Transpose", "x", "y", "turn",
                              perm=[1, 0, 2, 3]), x=(2, 3, 8, 8))
    model("window", node("MaxPool", "x", "y", "pool",
                         kernel_shape=[2**31, 2**31]))
    model("pads", node("Conv", "x c.weight", "y", "conv",
                       pads=[-1, 2**40, 0, 0]) + w)
    model("reshape-absurd", tensor(b"t", [2], whole(-5, 2**62), 7)
          + node("Reshape", "x t", "y", "shape"))
    model("expand-absurd", tensor(b"t", [4], whole(1, 2**40, 8, 8), 7)
          + node("Expand", "x t", "y", "wide"), x=("N", 1, 8, 8))
    model("range-absurd", tensor(b"0", [], whole(0), 7)
          + tensor(b"n", [], whole(2**60), 7) + tensor(b"1", [], whole(1), 7)
          + node("Range", "0 n 1", "i") + node("Gather", "x i", "y"))
    model("dim-absurd", node("Relu", "x", "y"), x=("N", 2**40, 2**40, 8))
    model("no-shape", node("Relu", "x", "y"), x=())
    model("control", node("Relu", "x", "y", "\x1b[2J"))
    model("string", field(5, field(1, 1) + field(2, 8) + field(8, b"s"))
          + node("Add", "x s", "y"))
    model("external", field(5, field(1, 4) + field(2, 1) + field(8, b"e")
                            + field(13, field(1, b"location")
                                    + field(2, b"../../etc/passwd"))
                            + field(14, 1)) + node("Add", "x e", "y"))
    deep = b""
    for _ in range(40):
        deep = field(5, field(6, field(1, deep)))
    model("deep", field(1, deep))


def checkpoint(name, version, data, bend=0):
    meta = {"checkpoint.keys": "checkpoint.version,epoch",
            "checkpoint.version": version, "epoch": "3"}
    text = b"w\0f32\0" + struct.pack("<q", 4) + data
    for key, value in meta.items():
        text += key.encode() + b"\0" + value.encode() + b"\0"
    meta["checkpoint.crc32"] = "%08x" % (zlib.crc32(text) ^ bend)
    put("checkpoint", name, {"__metadata__": meta,
                             "w": entry("F32", [4], 0, 16)}, data)


INI = {
    "good": "; comment\n[qat]\nepochs = 3 ; inline\n  lr=0.5\nmean=0.1,0.2,-1\n"
            "[qconfig features.17.*]\nweight.epochs = 4\n# end\n",
    "quotes": "[qat]\nnote = \"a; \\\"b\\\" \\\\ \"\ncolour = green\n",
    "twice": "[a]\nx=1\n[b]\n[a]\nx=2\n",
    "crlf": "\ufeff[qat]\r\nbias = no\r\n",
    "override": "qat.epochs=2\n",
    "no-section": "epochs = 1\n",
    "open-section": "[qat\nx = 1\n",
    "open-quote": "[qat]\nnote = \"abc\n",
    "no-equals": "[qat]\nepochs\n",
    "range": "[qat]\nepochs = 1000\nlr = nan\n",
    "colon": "[a]\nb: c\n",
    "empty-names": "[]\n=\n",
    "long": "[" + "s" * 300 + "]\n" + "k" * 300 + " = " + "v" * 3000 + "\n",
    "glob": "[qconfig *a*b*c*]\n*a*a*a*a* = aaaaaaaaaaaaaaaaaaaaaaaa\n",
    "nul": "[a]\nb = c\0d\n",
    "no-newline": "[a]\nb = c",
}


def ini():
    folder = os.path.join(HERE, "corpus", "ini")
    os.makedirs(folder, exist_ok=True)
    for name, text in INI.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(text.encode())


GRID = [0.05, 128, 0, 255]


def op(kind, c_in, c_out, **more):
    o = dict.fromkeys(("lo", "kernel_h", "kernel_w", "stride_h", "stride_w",
                       "pad_top", "pad_left", "pad_bottom", "pad_right",
                       "dilation_h", "dilation_w", "groups", "function"), 0)
    o.update(kind=kind, hi=255, count_pad=0, in_channels=c_in,
             out_channels=c_out, weight_scales=int(c_out > 0))
    if kind in ("conv2d", "maxpool2d", "avgpool2d"):
        o.update(kernel_h=3, kernel_w=3, stride_h=1, stride_w=1, pad_top=1,
                 pad_left=1, pad_bottom=1, pad_right=1, dilation_h=1,
                 dilation_w=1, groups=1)
    o.update({"concat": {"axis": 0}, "transpose": {"axes": 1},
              "gather": {"places": 0, "fill": 0},
              "resize": {"places": 0, "taps": 2},
              "matmul": {"transpose_a": 0, "transpose_b": 0, "factor": 1.0},
              "softmax": {"axis": 3},
              "norm": {"per_sample": 0, "centered": 1, "eps": 1e-5,
                       "groups": 1},
              "lrn": {"size": 3, "alpha": 1e-4, "power": 0.75,
                      "offset": 1.0}}.get(kind, {}))
    o.update(more)
    return o


IMAGE = {"name": "image", "constant": False, "shape": [1, 6, 6, 3],
         "grid": GRID}


def graph(*steps, sources=(IMAGE,), outputs=None):
    """Inputs and constants, and steps (shape, grid, inputs, op or float
    layer) -> the graph's JSON."""
    values = list(sources)
    nodes = []
    for i, (shape, grid, inputs, what) in enumerate(steps):
        nodes.append({"name": "n%d" % i, "in": inputs, "out": len(values)})
        values.append({"shape": shape})
        if grid:
            values[-1]["grid"] = grid
        if isinstance(what, dict):
            nodes[-1].update(layer=what["kind"], options="", op=what)
        else:
            nodes[-1].update(layer=what.split(" ", 1)[0], absorbed=[],
                             options=what.partition(" ")[2])
    if outputs is None:
        outputs = {"logits": len(values) - 1}
    return json.dumps({"values": values, "nodes": nodes,
                       "outputs": [{"name": k, "value": v}
                                   for k, v in outputs.items()]},
                      separators=(",", ":"))


CONV = ([1, 6, 6, 4], GRID, [0], op("conv2d", 3, 4))
WIDE = [1, 6, 6, 8]
MODELS = {
    "whole": (CONV, ([1, 6, 6, 4], GRID, [1], op("conv2d", 4, 4, groups=4)),
              ([1, 6, 6, 4], GRID, [1, 2], op("binary", 0, 0)),
              (WIDE, GRID, [3, 1], op("concat", 0, 0)),
              ([1, 3, 3, 8], GRID, [4], op("maxpool2d", 0, 0, stride_h=2,
                                           stride_w=2)),
              ([1, 3, 3, 8], [0.1, 0, 0, 127], [5], op("requantize", 0, 0,
                                                       hi=127)),
              ([1, 72], [0.1, 0, 0, 127], [6], op("reshape", 0, 0, hi=127)),
              ([1, 5], None, [7], op("linear", 72, 5))),
    "depthwise-pointwise": (
        CONV, ([1, 3, 3, 4], GRID, [1], op("conv2d", 4, 4, groups=4,
                                           stride_h=2, stride_w=2)),
        ([1, 3, 3, 16], GRID, [2], op("conv2d", 4, 16, kernel_h=1, kernel_w=1,
                                      pad_top=0, pad_left=0, pad_bottom=0,
                                      pad_right=0)),
        ([1, 1, 1, 16], GRID, [3], op("avgpool2d", 0, 0, pad_top=0,
                                      pad_left=0, pad_bottom=0, pad_right=0)),
        ([1, 16], GRID, [4], op("clamp", 0, 0, lo=3, hi=200)),
        ([1, 2], None, [5], op("linear", 16, 2))),
    "broadcast": (CONV, ([1, 6, 6, 4], GRID, [1], op("table", 0, 0)),
                  ([1, 1, 1, 4], GRID, [2], op(
                      "avgpool2d", 0, 0, kernel_h=6, kernel_w=6, pad_top=0,
                      pad_left=0, pad_bottom=0, pad_right=0)),
                  ([1, 6, 6, 4], GRID, [2, 3], op("binary", 0, 0, function=2)),
                  ([1, 6, 6, 4], GRID, [3, 4], op("binary", 0, 0, function=1)),
                  ([1, 144], GRID, [5], op("reshape", 0, 0))),
    "no-broadcast": (CONV, ([1, 6, 6, 3], GRID, [0, 1],
                            op("binary", 0, 0, function=2))),
    "function": (CONV, ([1, 6, 6, 4], GRID, [1, 1],
                        op("binary", 0, 0, function=3))),
    "scales": (([1, 6, 6, 4], GRID, [0], op("conv2d", 3, 4,
                                            weight_scales=3)),),
    "ceil": (([1, 3, 3, 3], GRID, [0], op("maxpool2d", 0, 0, stride_h=3,
                                          stride_w=3)),),
    "float-nodes": (CONV, ([1, 6, 6, 2], None, [1],
                           "conv2d out=2 kernel=1"),
                    ([1, 72], None, [2], "flatten"),
                    ([1, 3], None, [3], "linear out=3")),
    "huge-layer": (CONV, ([1, 6, 6, 2], None, [1],
                          "conv2d out=1000000 kernel=7")),
    "path": (CONV, ([1, 6, 6, 4], None, [1], "/tmp/x.so")),
    "huge-window": (([1, 1, 1, 4], GRID, [0], op("conv2d", 3, 4,
                                                 kernel_h=65536,
                                                 kernel_w=65536)),),
    "huge-padding": (([1, 65540, 6, 3], GRID, [0],
                      op("maxpool2d", 0, 0, pad_top=65535)),),
    "huge-value": (([1, 2**14, 2**14, 4], GRID, [0], op("conv2d", 3, 4)),),
    "groups": (([1, 6, 6, 4], GRID, [0], op("conv2d", 3, 4, groups=0)),),
    "backwards": (([1, 6, 6, 4], GRID, [1], op("conv2d", 3, 4)),),
    "no-grid": (([1, 6, 6, 4], [0, 0, 0, 0], [0], op("conv2d", 3, 4)),),
    "lo-hi": (([1, 6, 6, 4], [0.1, 3, 2, 1], [0], op("conv2d", 3, 4)),),
    "to-vector": (([1, 4], GRID, [0], op("conv2d", 3, 4, kernel_h=6,
                                         kernel_w=6, pad_top=0, pad_left=0,
                                         pad_bottom=0, pad_right=0)),),
}


def source(name, shape, grid=None, constant=False):
    s = {"name": name, "constant": constant, "shape": shape}
    return dict(s, grid=grid) if grid else s


def binary(inputs, function=0):
    return ([1, 6, 6, 3], GRID, inputs,
            op("binary", 0, 0, function=function))


TWO = (IMAGE, source("more", [1, 6, 6, 3], GRID))
SHIFT = source("shift", [1, 1, 1, 3], GRID, True)
# models and the bytes of their arrays
MOVES = {
    "moves": ((([1, 3, 6, 6], GRID, [0], op("transpose", 0, 0, axes=2)),
               ([1, 3, 7, 2], GRID, [1], op("gather", 0, 0, places=12,
                                            fill=9)),
               ([1, 3, 14, 2], GRID, [2, 2], op("concat", 0, 0, axis=2))),
              [36, 1, 3, 0, 0, 1, 2, 255, 0, 1, 2, 3, 4, 5, 5, 0]),
    "resize": ((([1, 1, 2, 3], GRID, [0], op("resize", 0, 0, places=6)),),
               [0, 1, 2, 3, 4, 5]),
    "resize-beyond": ((([1, 1, 2, 3], GRID, [0], op("resize", 0, 0,
                                                    places=6)),),
                      [0, 6]),
    "order-twice": ((([1, 3, 6, 6], GRID, [0], op("transpose", 0, 0,
                                                  axes=2)),),
                    [36, 1, 3, 1]),
    "order-size": ((([1, 3, 6, 6], GRID, [0], op("transpose", 0, 0,
                                                 axes=2)),),
                   [36, 1, 4, 0]),
    "place-beyond": ((([1, 3, 7, 2], GRID, [0], op("gather", 0, 0,
                                                   places=12)),),
                     [0, 1, 2, 255, 0, 1, 2, 3, 4, 6, 2, 0]),
    "places-few": ((([1, 3, 7, 2], GRID, [0], op("gather", 0, 0,
                                                 places=11)),), [0]),
    "concat-axis": ((([1, 6, 6, 6], GRID, [0, 0], op("concat", 0, 0,
                                                     axis=4)),), [0]),
}
SAME = ([1, 6, 6, 3], GRID, [0])
MOVES.update({
    "attention": ((SAME + (op("norm", 3, 0),),
                   ([1, 6, 6, 6], GRID, [1, 1],
                    op("matmul", 0, 0, transpose_b=1, factor=0.5)),
                   ([1, 6, 6, 6], GRID, [2], op("softmax", 0, 0)),
                   ([1, 6, 6, 3], GRID, [3, 1], op("matmul", 0, 0)),
                   ([1, 6, 6, 3], GRID, [4], op("lrn", 0, 0)),
                   ([1, 6, 6, 3], GRID, [5], op("norm", 3, 0, per_sample=1,
                                                groups=3)),
                   ([1, 6, 6, 3], None, [6], op("softmax", 0, 0, axis=1,
                                                function=1))),
                  list(range(100, 110))),
    "softmax-axis": ((SAME + (op("softmax", 0, 0, axis=4),),), [0]),
    "softmax-function": ((SAME + (op("softmax", 0, 0, function=2),),), [0]),
    "norm-groups": ((SAME + (op("norm", 3, 0, per_sample=1, groups=2),),),
                    [9]),
    "norm-channels": ((SAME + (op("norm", 4, 0),),), [9]),
    "norm-eps": ((SAME + (op("norm", 3, 0, eps=0),),), [9]),
    "eps-text": ((SAME + (op("norm", 3, 0, eps="small"),),), [9]),
    "matmul-shape": ((([1, 6, 6, 3], GRID, [0, 0], op("matmul", 0, 0)),),
                     [0]),
    "matmul-factor": ((([1, 6, 6, 6], GRID, [0, 0],
                        op("matmul", 0, 0, transpose_b=1, factor=-1)),),
                      [0]),
    "lrn-even": ((SAME + (op("lrn", 0, 0, size=4),),), [0]),
    "lrn-offset": ((SAME + (op("lrn", 0, 0, offset=0),),), [0]),
})
GRAPHS = {
    "two-inputs": graph(binary([0, 1]), binary([2, 1], 1), sources=TWO,
                        outputs={"a": 2, "b": 3}),
    "float-input": graph(([1, 6, 6, 3], GRID, [0], "relu"), binary([1, 2], 2),
                         sources=(source("x", [1, 6, 6, 3]), SHIFT)),
    "constant": graph(binary([0, 1]), sources=(IMAGE, SHIFT)),
    "float-constant": graph(
        ([1, 6, 6, 3], None, [0], "relu"),
        ([1, 6, 6, 3], None, [2, 1], "mul"),
        sources=(source("x", [1, 6, 6, 3]),
                 source("scale", [1, 3], constant=True))),
    "only-constants": graph(binary([0, 1]), sources=(
        source("a", [1, 6, 6, 3], GRID, True), SHIFT)),
    "same-names": graph(binary([0, 1]), sources=(IMAGE, IMAGE)),
    "name-no-text": graph(CONV, sources=(dict(IMAGE, name=3),)),
    "table": graph(([1, 6, 6, 3], GRID, [0], op("table", 0, 0))),
    "function": graph(binary([0, 1], 3), sources=TWO),
    "broadcast": graph(binary([0, 1]), sources=(
        IMAGE, source("odd", [1, 1, 6, 2], GRID))),
    "output-input": graph(CONV, outputs={"x": 0}),
    "output-none": graph(CONV, outputs={}),
    "output-beyond": graph(CONV, outputs={"x": 2}),
    "output-twice": graph(CONV, outputs={"x": 1, "y": 1}),
    "too-many-values": graph(CONV).replace(
        '"values":[', '"values":[{"shape":[1,2]},'),
}


LABEL = {"name": "label", "dtype": "i32", "shape": [1], "categories": 2}
TARGETS = {
    "none": [],
    "two": [LABEL, {"name": "box", "dtype": "f32", "shape": [1, 4]}],
    "no-list": LABEL,
    "names": [dict(LABEL, names=["a"])],
    "no-name": [{"dtype": "i32", "shape": [1]}],
    "dtype": [dict(LABEL, dtype="f99")],
    "shape": [dict(LABEL, shape=[1] * 9)],
    "huge": [dict(LABEL, categories=2**60)],
    "many": [LABEL] * 40,
}


def model():
    folder = os.path.join(HERE, "corpus", "model")
    os.makedirs(folder, exist_ok=True)
    for name, steps in MODELS.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(graph(*steps).encode() + b"\0" + bytes(range(7, 251, 9)))
    for name, (steps, arrays) in MOVES.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(graph(*steps).encode() + b"\0" + bytes(arrays))
    for name, text in GRAPHS.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(text.encode() + b"\0" + bytes(range(7, 251, 9)))
    meta = {"qatkit.model": "1.0", "qatkit.config": "[model]\narch = cnn\n",
            "qatkit.targets": json.dumps([
                {"name": "label", "dtype": "i32", "shape": [1],
                 "categories": 2, "names": ["a", "b"]}]),
            "qatkit.graph": graph(([1, 108], GRID, [0], op("reshape", 0, 0)),
                                  ([1, 2], None, [1], op("linear", 108, 2)))}
    tensors = {"n1.weight": entry("I8", [2, 108], 0, 216),
               "n1.bias": entry("I32", [2], 216, 224),
               "n1.multiplier": entry("F32", [2], 224, 232),
               "n1.weight_scale": entry("F32", [1], 232, 236)}
    data = bytes(224) + struct.pack("<fff", 0.5, 0.25, 0.125)
    put("model", "file", dict(tensors, __metadata__=meta), data)
    put("model", "minor", dict(tensors, __metadata__=dict(
        meta, **{"qatkit.model": "1.7"})), data)
    put("model", "major", dict(tensors, __metadata__=dict(
        meta, **{"qatkit.model": "2.0"})), data)
    put("model", "version", dict(tensors, __metadata__=dict(
        meta, **{"qatkit.model": "1"})), data)
    for name, targets in TARGETS.items():
        put("model", "targets-" + name, dict(tensors, __metadata__=dict(
            meta, **{"qatkit.targets": json.dumps(targets)})), data)
    put("model", "constant-file", dict(
        {"constant.shift": entry("U8", [1, 1, 1, 3], 0, 3)},
        __metadata__=dict(meta, **{
            "qatkit.graph": GRAPHS["constant"]})), bytes(3))
    put("model", "constant-shape", dict(
        {"constant.shift": entry("U8", [1, 3], 0, 3)},
        __metadata__=dict(meta, **{
            "qatkit.graph": GRAPHS["constant"]})), bytes(3))
    put("model", "no-constant", {"__metadata__": dict(meta, **{
        "qatkit.graph": GRAPHS["constant"]})})
    put("model", "no-bias", {"n1.weight": entry("I8", [2, 108], 0, 216),
                             "__metadata__": meta}, bytes(216))


def array(descr, shape, data, version=1, fortran=False, length=None):
    text = "{'descr': %r, 'fortran_order': %s, 'shape': %s, }\n" % (
        descr, fortran, shape)
    n = len(text) if length is None else length
    return (b"\x93NUMPY" + bytes([version, 0])
            + struct.pack("<H" if version == 1 else "<I", n)
            + text.encode() + data)


def archive(members, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in members.items():
            z.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def npy():
    good = array("<f4", (2, 3), bytes(24))
    numbers = array(">i2", (3,), bytes(range(6)))
    members = {"a.npy": good, "b.npy": numbers, "notes.txt": b"x"}
    stored = archive(members)
    files = {
        "good": good, "numbers": numbers,
        "half": array("<f2", (4,), bytes.fromhex("0000010000fc017e")),
        "fortran": array("<f8", (2, 1, 2), bytes(32), fortran=True),
        "version-2": array("|b1", (2,), b"\0\1", 2),
        "version-3": array("<u8", (1,), b"\xff" * 8, 3),
        "scalar": array("<i8", (), bytes(8)),
        "empty": array("<f4", (0, 5), b""),
        "python-2": array("<f4", "(2L, 1L)", bytes(8)),
        "objects": array("|O", (2,), bytes(16)),
        "records": array([("a", "<f4")], (2,), bytes(8)),
        "short": good[:-1], "long": good + b"x",
        "header": array("<f4", (2,), bytes(8), length=0xffff),
        "product": array("<f4", (2**32, 2**32), bytes(8)),
        "wrap": array("<f4", (0, 2**63 - 1, 2), bytes(8)),
        "nine-dims": array("<f4", (1,) * 9, bytes(4)),
        "stored": stored, "deflated": archive(members, zipfile.ZIP_DEFLATED),
        "archive-cut": stored[:-30], "archive-none": archive({}),
        "claims": stored.replace(struct.pack("<I", len(good)),
                                 struct.pack("<I", 2**31)),
    }
    folder = os.path.join(HERE, "corpus", "npy")
    os.makedirs(folder, exist_ok=True)
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(data)


def write(folder, files):
    folder = os.path.join(HERE, "corpus", folder)
    os.makedirs(folder, exist_ok=True)
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as out:
            out.write(data)


def table():
    write("table", {
        "commas": b"a,b\n1,2.5\n-3e2,x\n", "tabs": b"a b\tc\n1\t2\n",
        "spaces": b"x/1.jpg  3 \ny.jpg 12\n", "semicolons": b"a;b\n;\n",
        "quotes": b'"a, ""b""",c\n"",""\n', "open": b'a,"b\n',
        "mark": b"\xef\xbb\xbfa\r\n1\r\n", "short": b"a,b\n1\n",
        "empty": b"\n\n", "nul": b"a\0b\n", "twice": b"a,a\n1,2\n",
        "junk": b'"a"b,c\n', "many": b"," * 300 + b"\n" + b"," * 300})


def gzipped(data):
    z = zlib.compressobj(9, zlib.DEFLATED, 31)
    return z.compress(data) + z.flush()


def idx():
    def file(kind, dims, data):
        return (bytes([0, 0, kind, len(dims)])
                + b"".join(struct.pack(">I", d) for d in dims) + data)

    good = file(8, (2, 2, 3), bytes(range(12)))
    write("idx", {
        "images": good, "colours": file(8, (2, 1, 2, 3), bytes(range(12))),
        "gzip": gzipped(good), "labels": file(8, (2,), b"\1\2"),
        "cut": good[:-1], "more": good + b"x", "header": good[:9],
        "floats": file(13, (2, 2, 3), bytes(48)),
        "huge": file(8, (2**32 - 1,) * 4, bytes(8)),
        "bomb": gzipped(file(8, (2**20, 1, 1), bytes(9))),
        "none": file(8, (0, 2, 2), b""), "five": file(8, (1,) * 5, b"x")})


def cifar():
    """Files for Python, images of 4 bytes: protocol 2 of Python 2, protocol 4
    of Python 3, and the names of classes."""
    old = (b"\x80\2}q\1(U\6labelsq\2]q\3(K\1K\2eU\4dataq\4cnumpy\nndarray\n"
           b"U\10abcdefghU\5filesq\5]q\6u.")
    new = (b"\x80\4\x95\x40\0\0\0\0\0\0\0}\x94(C\4data\x94\x8c\5numpy\x94"
           b"\x93\x94B\4\0\0\0abcd\x94t\x94bC\6labels\x94]\x94K\3au.")
    write("cifar", {
        "old": old, "new": new, "cut": old[:40],
        "names": b"\x80\2}(U\13label_names](U\1aU\2bbeu.",
        "parts": b"\x80\2}(U\6labels](K\1e(K\2eU\4dataU\10abcdefghu.",
        "long": b"\x80\2}(U\4dataT\xff\xff\xff\xffabcd",
        "number": b"\x80\2}(U\6labelsK\1U\4dataU\4abcdu."})


def wav():
    """Mono and stereo, each kind of samples, and headers that claim."""
    def chunk(name, data):
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    def file(data, tag=1, channels=1, bits=16, align=None, more=b"",
             before=b"", rate=16000):
        align = channels * bits // 8 if align is None else align
        fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * align, align,
                          bits) + more
        body = b"WAVE" + chunk(b"fmt ", fmt) + before + chunk(b"data", data)
        return b"RIFF" + struct.pack("<I", len(body)) + body

    good = file(struct.pack("<9h", *range(-4, 5)))
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    write("wav", {
        "good": good, "stereo": file(bytes(16), channels=2),
        "byte": file(bytes(range(9)), bits=8),
        "24": file(bytes(range(27)), bits=24),
        "float": file(struct.pack("<3f", 0, -1, .5), tag=3, bits=32),
        "double": file(struct.pack("<2d", 0, -1), tag=3, bits=64),
        "nan": file(struct.pack("<2f", float("nan"), float("inf")), tag=3,
                    bits=32),
        "a-law": file(bytes(range(9)), tag=6, bits=8),
        "mu-law": file(bytes(range(9)), tag=7, bits=8),
        "ima": file(bytes(64), tag=17, bits=4, align=32,
                    more=struct.pack("<HH", 2, 57)),
        "ms": file(bytes(64), tag=2, bits=4, align=32,
                   more=struct.pack("<HHH", 4, 52, 0)),
        "extensible": file(bytes(8), tag=0xfffe, more=struct.pack(
            "<HHI", 22, 16, 4) + guid),
        "list": file(bytes(8), before=chunk(b"LIST", b"INFOISFT\4\0\0\0test")),
        "cut": good[:-5], "header": good[:30], "empty": file(b""),
        "claims": good[:40] + b"\xff\xff\xff\x7f" + good[44:],
        "channels-0": file(bytes(8), channels=0),
        "channels-65": file(bytes(260), channels=65),
        "rate-0": file(bytes(8), rate=0),
        "big-endian": b"RIFX" + good[4:], "junk": b"RIFFxxxxWAVEjunk"})


def index():
    """Lists of images as imagefolder keeps them, of the folder /proc/self."""
    head = b"qatkit images 1\n/proc/self\n"
    good = (b"class a\nclass b\nimage 0 a/1.jpg\nimage 1 b/c/2.jpg\nleft 3\n"
            b"ending 3 .txt\n")
    write("index", {
        "good": head + good, "other": head.replace(b"self", b"1") + good,
        "changed": head + b"folder 1 2 fd\n" + good, "magic": good,
        "label": head + b"class a\nimage 1 a/1.jpg\n",
        "negative": head + b"class a\nimage -1 a/1.jpg\n",
        "nameless": head + b"class a\nimage 0 \n",
        "number": head + b"class a\nimage 99999999999999999999 a\n",
        "word": head + b"picture 1\n", "none": b"", "nul": head + b"class a\0b\n"})


def main():
    cifar()
    wav()
    index()
    model()
    npy()
    table()
    idx()
    safetensors()
    onnx()
    networks()
    ini()
    checkpoint("good", "1.0", bytes(range(16)))
    checkpoint("newer", "2.0", bytes(16))
    checkpoint("minor", "1.9", bytes(16))
    checkpoint("damaged", "1.0", bytes(16), bend=1)
    checkpoint("no-version", "x", bytes(16))
    put("checkpoint", "none", "{}")


main()
