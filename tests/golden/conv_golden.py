#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes conv_golden.h: training steps of PyTorch's fused conv-bn QAT modules.

ConvBn2d and ConvBnReLU2d with the fbgemm qconfig, version 0, on inputs that
lie on a grid: output, gradients and running statistics of every step; SGD
between the steps; then the statistics are frozen, then the observers.

Run with Debian's python3-torch 1.13:
    /usr/bin/python3 tests/golden/conv_golden.py > tests/golden/conv_golden.h
"""
import warnings

import torch
import torch.nn.intrinsic.qat as nniqat
import torch.ao.quantization as tq
from torch import nn

warnings.simplefilter("ignore")
torch.set_num_threads(1)
torch.backends.mkldnn.enabled = False

STEPS, FREEZE_BN, FREEZE_OBS, LR = 6, 3, 4, 0.05
X_SCALE, X_ZERO, X_MAX = 0.03125, 17, 127

# name, cin, cout, kernel, stride, padding, groups, relu, n, h, w
CASES = [
    ("conv3x3", 3, 4, 3, 1, 1, 1, False, 2, 5, 4),
    ("pointwise", 6, 5, 1, 1, 0, 1, True, 2, 4, 4),
    ("depthwise", 4, 4, 3, 2, 1, 4, True, 2, 6, 5),
]


class Random:
    """golden_random of check_conv_golden.c."""

    def __init__(self, seed):
        self.s = seed

    def word(self):
        self.s = (self.s * 1664525 + 1013904223) & 0xFFFFFFFF
        return self.s >> 8

    def floats(self, n, lo, hi):
        """lo + (hi - lo) u in float32, u of 24 bits."""
        u = torch.tensor([self.word() for _ in range(n)],
                         dtype=torch.float64) * 2.0 ** -24
        u = u.float()
        span = torch.tensor(hi, dtype=torch.float32) \
            - torch.tensor(lo, dtype=torch.float32)
        return torch.tensor(lo, dtype=torch.float32) + u * span

    def bytes(self, n, top):
        return torch.tensor([self.word() % (top + 1) for _ in range(n)])


def literal(v):
    """A C constant without its suffix; 9 digits give float32 back."""
    s = "%.9g" % v
    return s if "." in s or "e" in s else s + ".0"


def emit(ctype, name, values, fmt):
    print("static const %s %s[] = {" % (ctype, name))
    line = " "
    for v in values:
        w = " " + (fmt % v if fmt else literal(v) + "f") + ","
        if len(line) + len(w) > 79:
            print(line)
            line = " "
        line += w
    print(line)
    print("};")


def nhwc(t):
    return t.detach().permute(0, 2, 3, 1).reshape(-1).tolist()


def flat(t):
    return t.detach().reshape(-1).tolist()


def build(case, rnd):
    _, cin, cout, kernel, stride, padding, groups, relu, _, _, _ = case
    layers = [nn.Conv2d(cin, cout, kernel, stride, padding, groups=groups,
                        bias=False), nn.BatchNorm2d(cout)]
    names = ["0", "1"]
    if relu:
        layers.append(nn.ReLU())
        names.append("2")
    m = nn.Sequential(*layers).train()
    conv, bn = m[0], m[1]
    with torch.no_grad():
        w = rnd.floats(cout * kernel * kernel * (cin // groups), -0.5, 0.5)
        conv.weight.copy_(w.reshape(cout, kernel, kernel, -1)
                          .permute(0, 3, 1, 2))
        bn.weight.copy_(rnd.floats(cout, 0.5, 1.5))
        bn.bias.copy_(rnd.floats(cout, -0.5, 0.5))
        bn.running_mean.copy_(rnd.floats(cout, -0.5, 0.5))
        bn.running_var.copy_(rnd.floats(cout, 0.5, 2.0))
    tq.fuse_modules_qat(m, [names], inplace=True)
    m.qconfig = tq.get_default_qat_qconfig("fbgemm", 0)
    tq.prepare_qat(m, inplace=True)
    mod = m[0]
    assert type(mod) in (nniqat.ConvBn2d, nniqat.ConvBnReLU2d)
    return m, mod


def run(case):
    name, cin, cout, _, _, _, _, _, n, h, w = case
    rnd = Random(len(name))
    m, mod = build(case, rnd)
    params = [mod.weight, mod.bn.weight, mod.bn.bias]
    opt = torch.optim.SGD(params, lr=LR)
    out = {k: [] for k in "q scale zp dx dw dgamma dbeta mean var".split()}
    for step in range(STEPS):
        if step == FREEZE_BN:
            m.apply(nniqat.freeze_bn_stats)
        if step == FREEZE_OBS:
            m.apply(tq.disable_observer)
        q = rnd.bytes(n * h * w * cin, X_MAX)
        x = ((q - X_ZERO).float() * X_SCALE).reshape(n, h, w, cin)
        x = x.permute(0, 3, 1, 2).contiguous().requires_grad_(True)
        y = m(x)
        fq = mod.activation_post_process
        dout = rnd.floats(y.numel(), -1.0, 1.0)
        dout = dout.reshape(n, y.shape[2], y.shape[3], cout)
        opt.zero_grad()
        y.backward(dout.permute(0, 3, 1, 2))
        out["q"] += [round(v / fq.scale.item()) + int(fq.zero_point.item())
                     for v in nhwc(y)]
        out["scale"].append(fq.scale.item())
        out["zp"].append(int(fq.zero_point.item()))
        out["dx"] += nhwc(x.grad)
        out["dw"] += nhwc(mod.weight.grad)  # to (K,R,S,C)
        out["dgamma"] += flat(mod.bn.weight.grad)
        out["dbeta"] += flat(mod.bn.bias.grad)
        out["mean"] += flat(mod.bn.running_mean)
        out["var"] += flat(mod.bn.running_var)
        opt.step()
    for key, values in out.items():
        ints = key in ("q", "zp")
        emit("int16_t" if ints else "float", "golden_%s_%s" % (name, key),
             values, "%d" if ints else None)
    print()


def main():
    print("/* SPDX-License-Identifier: LGPL-2.1-or-later */")
    print("/* conv_golden.h: written by conv_golden.py (PyTorch %s); do not "
          "edit. */" % torch.__version__)
    print("#ifndef CONV_GOLDEN_H\n#define CONV_GOLDEN_H\n\n#include "
          "<stdint.h>\n")
    print("enum { GOLDEN_STEPS = %d, GOLDEN_FREEZE_BN = %d, "
          "GOLDEN_FREEZE_OBS = %d };" % (STEPS, FREEZE_BN, FREEZE_OBS))
    print("#define GOLDEN_LR %sf" % literal(LR))
    print("#define GOLDEN_X_SCALE %sf" % literal(X_SCALE))
    print("enum { GOLDEN_X_ZERO = %d, GOLDEN_X_MAX = %d };\n"
          % (X_ZERO, X_MAX))
    for case in CASES:
        run(case)
    print("#endif /* CONV_GOLDEN_H */")


main()
