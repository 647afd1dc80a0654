#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Write transformer.h: layers of transformers and normalisations, golden
values from PyTorch.

Run with Debian's python3-torch in this folder: /usr/bin/python3
transformer.py.  The tests need only what it wrote.
"""
import torch
import torch.nn.functional as F

torch.manual_seed(20240719)
out = open("transformer.h", "w")
cases = []


def emit(name, t):
    text = [("%.9g" % v) for v in t.detach().reshape(-1).tolist()]
    text = [(s if "." in s or "e" in s else s + ".0") + "f" for s in text]
    out.write("static const float %s[%d] = {\n" % (name, len(text)))
    for i in range(0, len(text), 5):
        out.write("  " + ", ".join(text[i:i + 5]) + ",\n")
    out.write("};\n\n")


def last(t):
    """Channels last."""
    return t.movedim(1, -1).contiguous()


def first(t):
    return t.movedim(-1, 1)


def case(layer, options, function, inputs, params=(), spread=1.0):
    """FUNCTION takes tensors laid out as ours are."""
    n = "g%d_" % len(cases)
    x = [(torch.randn(s) * spread).requires_grad_() for s in inputs]
    p = [(torch.randn(s) * 0.5 + 1).requires_grad_() for s in params]
    y = function(*x, *p)
    dy = torch.randn_like(y)
    y.backward(dy)
    for i, t in enumerate(x):
        emit(n + "x%d" % i, t)
        emit(n + "dx%d" % i, t.grad)
    for i, t in enumerate(p):
        emit(n + "p%d" % i, t)
        emit(n + "dp%d" % i, t.grad)
    emit(n + "y", y)
    emit(n + "dy", dy)

    def names(what, count):
        return "{ %s }" % ", ".join(
            [n + what + str(i) for i in range(count)] or ["NULL"])

    cases.append(
        '  { "%s", "%s", %d, %d,\n    { %s },\n    %s, %s,\n    %s, %s,\n'
        '    %sy, %sdy },\n' % (
            layer, options, len(x), len(p),
            ", ".join("{ %d, { %s } }" % (len(s), ", ".join(map(str, s)))
                      for s in inputs),
            names("x", len(x)), names("dx", len(x)),
            names("p", len(p)), names("dp", len(p)), n, n))


def rms(x, w):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-6) * w


out.write("/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
          "/* transformer.h: made by transformer.py with PyTorch %s; channels "
          "last. */\n\n" % torch.__version__)

case("linear", "out=4", F.linear, [(2, 3, 5)], [(4, 5), (4,)])
case("matmul", "", torch.matmul, [(2, 2, 3, 5), (2, 2, 5, 4)])
case("matmul", "transpose_b=yes scale=0.5",
     lambda a, b: torch.matmul(a, b.transpose(-1, -2)) * 0.5,
     [(2, 2, 3, 5), (2, 1, 4, 5)])
case("matmul", "transpose_a=yes",
     lambda a, b: torch.matmul(a.transpose(-1, -2), b),
     [(2, 5, 3), (2, 5, 4)])
case("softmax", "", lambda x: F.softmax(x, -1), [(2, 3, 7)], spread=3)
case("softmax", "axis=1", lambda x: F.softmax(x, 1), [(2, 5, 2, 2)])
case("log_softmax", "", lambda x: F.log_softmax(x, -1), [(2, 3, 6)], spread=3)
case("layer_norm", "eps=1e-3",
     lambda x, w, b: F.layer_norm(x, (6,), w, b, 1e-3),
     [(2, 3, 6)], [(6,), (6,)])
case("layer_norm", "affine=no", lambda x: F.layer_norm(x, (8,)), [(3, 8)],
     spread=10)
case("rms_norm", "", rms, [(2, 3, 6)], [(6,)])
case("group_norm", "groups=3",
     lambda x, w, b: last(F.group_norm(first(x), 3, w, b)),
     [(2, 2, 3, 6)], [(6,), (6,)])
case("group_norm", "groups=2 affine=no",
     lambda x: last(F.group_norm(first(x), 2)), [(2, 5, 4)])
case("instance_norm", "affine=yes",
     lambda x, w, b: last(F.instance_norm(first(x), weight=w, bias=b)),
     [(2, 3, 4, 3)], [(3,), (3,)])
case("instance_norm", "eps=0.01",
     lambda x: last(F.instance_norm(first(x), eps=0.01)), [(2, 6, 3)])
case("lrn", "size=5 alpha=0.5 beta=0.75 bias=2",
     lambda x: last(F.local_response_norm(first(x), 5, 0.5, 0.75, 2)),
     [(2, 2, 2, 7)], spread=2)
case("lrn", "size=3", lambda x: last(F.local_response_norm(first(x), 3)),
     [(2, 3, 4)], spread=100)

out.write("static const struct golden_case golden_cases[] = {\n")
out.write("".join(cases))
out.write("};\n")
out.close()
