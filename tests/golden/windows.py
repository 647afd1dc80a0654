#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Write windows.h: convolution and pooling with another size, step, distance
and padding in each direction, from PyTorch.

Run with Debian's python3-torch in this folder: /usr/bin/python3 windows.py.
The tests need only what it wrote.
"""
import torch
import torch.nn.functional as F

torch.manual_seed(20261129)
out = open("windows.h", "w")


def emit(name, t):
    text = ["%.9g" % v for v in t.detach().reshape(-1).tolist()]
    text = [(s if "." in s or "e" in s else s + ".0") + "f" for s in text]
    out.write("static const float %s[%d] = {\n" % (name, len(text)))
    for i in range(0, len(text), 5):
        out.write("  " + ", ".join(text[i:i + 5]) + ",\n")
    out.write("};\n\n")


def nhwc(t):
    return t.permute(0, 2, 3, 1).contiguous()


out.write("/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
          "/* windows.h: made by windows.py with PyTorch %s; images are "
          "(N,H,W,C). */\n\n" % torch.__version__)


def case(name, f, *tensors):
    """tensors: (suffix, tensor, how it is written)"""
    leaves = [t.clone().requires_grad_() for _, t, _ in tensors]
    y = f(*leaves)
    dy = torch.randn_like(y)
    y.backward(dy)
    emit(name + "_y", nhwc(y))
    emit(name + "_dy", nhwc(dy))
    for leaf, (suffix, t, how) in zip(leaves, tensors):
        emit("%s_%s" % (name, suffix), how(t))
        emit("%s_d%s" % (name, suffix), how(leaf.grad))


def same(t):
    return t


x = torch.randn(2, 4, 6, 7)
case("conv_uneven",
     lambda x, w, b: F.conv2d(F.pad(x, (1, 2, 0, 3)), w, b, stride=(2, 1),
                              dilation=(1, 2), groups=2),
     ("x", x, nhwc), ("w", torch.randn(6, 2, 3, 2), nhwc),
     ("b", torch.randn(6), same))
signal = torch.randn(2, 3, 11)
case("conv_signal",
     lambda x, w, b: F.conv1d(F.pad(x, (1, 3)), w, b, stride=2).unsqueeze(2),
     ("x", signal, lambda t: t.permute(0, 2, 1).contiguous()),
     ("w", torch.randn(4, 3, 5), lambda t: t.permute(0, 2, 1).contiguous()),
     ("b", torch.randn(4), same))
case("max_uneven",
     lambda x: F.max_pool2d(F.pad(x, (1, 0, 2, 1), value=-1e30), (3, 2),
                            (1, 2), dilation=(1, 2)),
     ("x", x, nhwc))
case("avg_uneven",
     lambda x: F.avg_pool2d(F.pad(x, (0, 2, 1, 0)), (2, 3), (2, 1)),
     ("x", x, nhwc))
inside = F.avg_pool2d(F.pad(torch.ones(1, 1, 6, 7), (0, 2, 1, 0)), (2, 3),
                      (2, 1))
case("avg_uneven_inside",
     lambda x: F.avg_pool2d(F.pad(x, (0, 2, 1, 0)), (2, 3), (2, 1)) / inside,
     ("x", x, nhwc))
case("avg_ceil",
     lambda x: F.avg_pool2d(x, (2, 3), (3, 2), (1, 1), True),
     ("x", x, nhwc))


def turned(groups):
    """(C,K/groups,R,S) as ours, (K,R,S,C/groups) with the window backwards."""
    def f(w):
        c, k, r, s = w.shape
        return (w.reshape(groups, c // groups, k, r, s).flip(3, 4)
                .permute(0, 2, 3, 4, 1).contiguous())
    return f


x = torch.randn(2, 4, 3, 5)
case("transposed",
     lambda x, w, b: F.conv_transpose2d(x, w, b, stride=(2, 3),
                                        padding=(1, 0),
                                        output_padding=(1, 2)),
     ("x", x, nhwc), ("w", torch.randn(4, 3, 3, 4), turned(1)),
     ("b", torch.randn(3), same))
case("transposed_groups",
     lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, padding=(2, 1),
                                        groups=2, dilation=(2, 1)),
     ("x", x, nhwc), ("w", torch.randn(4, 3, 3, 2), turned(2)),
     ("b", torch.randn(6), same))
case("transposed_cut",
     lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2,
                                        padding=1)[:, :, 1:, :-2],
     ("x", x, nhwc), ("w", torch.randn(4, 2, 2, 2), turned(1)),
     ("b", torch.randn(2), same))
out.close()
