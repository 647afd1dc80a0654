#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Write activations.h: the activations' values and gradients from PyTorch,
and those of sums, differences and products that are broadcast, and of pooling
in ceil mode.

Run with Debian's python3-torch in this folder: /usr/bin/python3
activations.py.  The tests need only what it wrote.
"""
import torch
import torch.nn.functional as F

torch.manual_seed(20261128)
out = open("activations.h", "w")


def emit(name, t):
    text = ["%.9g" % v for v in t.detach().reshape(-1).tolist()]
    text = [(s if "." in s or "e" in s else s + ".0") + "f" for s in text]
    out.write("static const float %s[%d] = {\n" % (name, len(text)))
    for i in range(0, len(text), 5):
        out.write("  " + ", ".join(text[i:i + 5]) + ",\n")
    out.write("};\n\n")


out.write("/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
          "/* activations.h: made by activations.py with PyTorch %s. */\n\n"
          % torch.__version__)

x = torch.cat([torch.randn(30) * 3, torch.tensor(
    [0.0, -0.0, 1e-6, -1e-6, 2.99, -2.99, 3.01, -3.01, 20, -20])])
dy = torch.randn(40)
emit("unary_x", x)
emit("unary_dy", dy)
for name, f in (
        ("hardswish", F.hardswish),
        ("hardsigmoid", F.hardsigmoid),
        ("sigmoid", torch.sigmoid),
        ("silu", F.silu),
        ("tanh", torch.tanh),
        ("gelu", F.gelu),
        ("gelu_tanh", lambda t: F.gelu(t, approximate="tanh")),
        ("elu", lambda t: F.elu(t, alpha=0.7)),
        ("leaky_relu", lambda t: F.leaky_relu(t, 0.2)),
        ("neg", torch.neg),
        ("abs", torch.abs),
        ("square", torch.square),
        ("softplus", F.softplus),
        ("softplus_options", lambda t: F.softplus(t, 2, 6)),
        ("softsign", F.softsign),
        ("mish", F.mish),
        ("selu", F.selu),
        ("celu", lambda t: F.celu(t, 0.7)),
        ("thresholded_relu", lambda t: F.threshold(t, 1.0, 0.0)),
        ("sign", torch.sign),
        ("floor", torch.floor),
        ("ceil", torch.ceil),
        ("round", torch.round),
        ("erf", torch.erf),
        ("sin", torch.sin),
        ("cos", torch.cos),
        ("cube", lambda t: t ** 3),
        ("line", lambda t: t * -1.5 + 0.25),
        ("clip", lambda t: t.clamp(-1.5, 2.4)),
        ("hardsigmoid_options",
         lambda t: (t * 0.21 + 0.4).clamp(0, 1))):
    t = x.clone().requires_grad_()
    y = f(t)
    y.backward(dy)
    emit(name + "_y", y)
    emit(name + "_dx", t.grad)

# and of positive numbers
x = x.abs() / 4 + 0.01
emit("positive_x", x)
for name, f in (
        ("exp", torch.exp),
        ("log", torch.log),
        ("sqrt", torch.sqrt),
        ("rsqrt", torch.rsqrt),
        ("reciprocal", torch.reciprocal),
        ("pow", lambda t: t ** -0.7)):
    t = x.clone().requires_grad_()
    y = f(t)
    y.backward(dy)
    emit(name + "_y", y)
    emit(name + "_dx", t.grad)

# (N,H,W,C) with (N,1,1,C)
a = torch.randn(2, 2, 3, 4)
b = torch.randn(2, 1, 1, 4)
dy = torch.randn(2, 2, 3, 4)
emit("binary_a", a)
emit("binary_b", b)
emit("binary_dy", dy)
for name, f in (("add", torch.add), ("sub", torch.sub), ("mul", torch.mul),
                ("div", torch.div), ("max", torch.maximum),
                ("min", torch.minimum)):
    p, q = a.clone().requires_grad_(), b.clone().requires_grad_()
    y = f(p, q)
    y.backward(dy)
    emit(name + "_y", y)
    emit(name + "_da", p.grad)
    emit(name + "_db", q.grad)


# slopes: of all channels, of each one
for name, w in (("prelu", torch.tensor([0.2])),
                ("prelu_channels", torch.tensor([0.2, -0.5, 0.0, 1.5]))):
    p, w = a.clone().requires_grad_(), w.requires_grad_()
    y = F.prelu(p.permute(0, 3, 1, 2), w).permute(0, 2, 3, 1)
    y.backward(dy)
    emit(name + "_y", y)
    emit(name + "_dx", p.grad)
    emit(name + "_w", w)
    emit(name + "_dw", w.grad)

# along axes, with numbers that are equal
x = (a * 2).round()
emit("reduce_x", x)
for name, f in (("mean", lambda t: t.mean((1, 2), keepdim=True)),
                ("sum", lambda t: t.sum((1, 3))),
                ("largest", lambda t: t.amax((2, 3), keepdim=True)),
                ("smallest", lambda t: t.amin((1, 2, 3)))):
    p = x.clone().requires_grad_()
    y = f(p)
    g = dy.reshape(-1)[:y.numel()].reshape(y.shape)
    y.backward(g)
    emit("reduce_%s_y" % name, y)
    emit("reduce_%s_dx" % name, p.grad)


def nhwc(t):
    return t.permute(0, 2, 3, 1).contiguous()


x = torch.randn(1, 2, 6, 8)
emit("ceil_x", nhwc(x))
for name, f in (
        ("max", lambda t: F.max_pool2d(t, 3, 2, 0, ceil_mode=True)),
        ("avg", lambda t: F.avg_pool2d(t, 3, 2, 1, True)),
        ("avg_inside", lambda t: F.avg_pool2d(t, 3, 2, 1, True, False))):
    t = x.clone().requires_grad_()
    y = f(t)
    dy = torch.randn_like(y)
    y.backward(dy)
    emit("ceil_%s_y" % name, nhwc(y))
    emit("ceil_%s_dy" % name, nhwc(dy))
    emit("ceil_%s_dx" % name, nhwc(t.grad))
out.close()
