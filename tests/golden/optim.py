#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes optim.h: what PyTorch's AdamW and RMSprop, its schedules and its
clipping of gradients make of generated numbers; and LAMB by the formula of the
paper in double precision, which PyTorch does not have.

Run with Debian's python3-torch 1.13:
    /usr/bin/python3 tests/golden/optim.py > tests/golden/optim.h
"""
import warnings

import numpy as np
import torch

warnings.simplefilter("ignore")
torch.set_num_threads(1)

N, STEPS, LR = 41, 6, 2.0 ** -6


def hash32(v):
    """lowbias32, a bijection of 32-bit integers."""
    v = v.astype(np.uint32)
    v ^= v >> np.uint32(16)
    v *= np.uint32(0x7FEB352D)
    v ^= v >> np.uint32(15)
    v *= np.uint32(0x846CA68B)
    v ^= v >> np.uint32(16)
    return v


def fill(n, seed, scale, offset):
    """The numbers of golden_fill in quant_golden.h: bell-shaped."""
    i = np.arange(n, dtype=np.uint32) * np.uint32(4)
    base = np.uint32(seed * 1000003 & 0xFFFFFFFF)
    u = [(hash32(i + np.uint32(k) + base) >> np.uint32(8)).astype(np.float32)
         * np.float32(2.0 ** -24) for k in range(4)]
    x = ((u[0] + u[1]) + (u[2] + u[3])) - np.float32(2)
    return torch.from_numpy(x * np.float32(scale) + np.float32(offset))


def array(ctype, name, values, fmt):
    print("static const %s %s[%d] = {" % (ctype, name, len(values)))
    line = " "
    for v in values:
        w = " " + fmt % v + ","
        if len(line) + len(w) > 79:
            print(line)
            line = " "
        line += w
    print(line)
    print("};")


def bits(t):
    return [int(v) for v in t.detach().reshape(-1).numpy().view(np.uint32)]


print("/* SPDX-License-Identifier: LGPL-2.1-or-later */")
print("/* optim.h: written by optim.py (PyTorch %s); do not edit. */"
      % torch.__version__)
print("""#ifndef OPTIM_GOLDEN_H
#define OPTIM_GOLDEN_H

#include <stdint.h>

/* As golden_optimizers of quant_golden.h. */""")

# ---- optimizers ------------------------------------------------------------
OPT = [("adamw", "", torch.optim.AdamW, {}),
       ("adamw", "beta1=0.8 beta2=0.99 eps=1e-6 weight_decay=0.1",
        torch.optim.AdamW,
        dict(betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1)),
       ("rmsprop", "", torch.optim.RMSprop, {}),
       ("rmsprop", "alpha=0.9 eps=1e-6 weight_decay=0.01",
        torch.optim.RMSprop,
        dict(alpha=0.9, eps=1e-6, weight_decay=0.01)),
       ("rmsprop", "momentum=0.9", torch.optim.RMSprop, dict(momentum=0.9)),
       ("rmsprop", "centered=yes", torch.optim.RMSprop, dict(centered=True)),
       ("rmsprop", "centered=yes momentum=0.5 alpha=0.95",
        torch.optim.RMSprop, dict(centered=True, momentum=0.5, alpha=0.95))]
table = []
for k, (name, opt, cls, kw) in enumerate(OPT):
    w = fill(N, 1, 1.0, 0.0).clone().requires_grad_(True)
    o = cls([w], lr=LR, **kw)
    for step in range(STEPS):
        w.grad = fill(N, 2 + step, 0.5, 0.0)
        o.step()
    array("uint32_t", "golden_more%d" % k, bits(w), "0x%08xu")
    table.append('  { "%s", "%s", %rf, golden_more%d },' % (name, opt, LR, k))
print("\nstatic const struct golden_optimizer golden_more_optimizers[] = {")
print("\n".join(table))
print("};\n")


# ---- LAMB ------------------------------------------------------------------
def lamb(w, grads, lr, beta1=0.9, beta2=0.999, eps=1e-6, decay=0.01):
    """You et al. 2020, algorithm 2, with phi the identity."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(grads, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        r = m / (1 - beta1 ** t) / (np.sqrt(v / (1 - beta2 ** t)) + eps)
        u = r + decay * w
        a, b = np.linalg.norm(w), np.linalg.norm(u)
        w = w - lr * (a / b if a > 0 and b > 0 else 1) * u
    return w


print("""/* Of the same numbers, in double. */
struct golden_lamb {
  const char *options;
  const double *w;
};
""")
grads = [fill(N, 2 + s, 0.5, 0.0).double().numpy() for s in range(STEPS)]
LAMB = [("", {}), ("weight_decay=0.25 beta1=0.8 beta2=0.99",
                   dict(decay=0.25, beta1=0.8, beta2=0.99))]
for k, (opt, kw) in enumerate(LAMB):
    w = lamb(fill(N, 1, 1.0, 0.0).double().numpy(), grads, LR, **kw)
    array("double", "golden_lamb%d" % k, w, "%.17g")
print("\nstatic const struct golden_lamb golden_lambs[] = {")
for k, (opt, kw) in enumerate(LAMB):
    print('  { "%s", golden_lamb%d },' % (opt, k))
print("};\n")


# ---- schedules -------------------------------------------------------------
def rates(make, steps, scores=None):
    w = torch.zeros(1, requires_grad=True)
    o = torch.optim.SGD([w], lr=1.0)
    s = make(o)
    out = []
    for t in range(steps):
        out.append(o.param_groups[0]["lr"])
        o.step()
        if scores is None:
            if t + 1 < steps:
                s.step()
        else:
            s.step(scores[t])
    return out


print("""/* Factors at the steps 0 … of one cycle. */
struct golden_cycle {
  const char *options;
  int steps;
  const double *factor;
};
""")
CYCLE = [("", 20, {}),
         ("pct_start=0.4 div_factor=10 final_div_factor=100 "
          "anneal_strategy=linear", 23,
          dict(pct_start=0.4, div_factor=10, final_div_factor=100,
               anneal_strategy="linear")),
         ("three_phase=yes", 31, dict(three_phase=True))]
table = []
for k, (opt, n, kw) in enumerate(CYCLE):
    f = rates(lambda o: torch.optim.lr_scheduler.OneCycleLR(
        o, 1.0, total_steps=n, cycle_momentum=False, **kw), n)
    array("double", "golden_cycle%d" % k, f, "%.17g")
    table.append('  { "%s", %d, golden_cycle%d },' % (opt, n, k))
print("\nstatic const struct golden_cycle golden_cycles[] = {")
print("\n".join(table))
print("};\n")

SCORES = [0.5, 0.6, 0.6, 0.60001, 0.59, 0.7, 0.69, 0.7, 0.7, 0.71, 0.1, 0.2,
          0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]
print("""/* Factors before each epoch, whose score golden_scores has. */
struct golden_plateau {
  const char *options;
  int larger;
  const double *factor;
};
""")
array("double", "golden_scores", SCORES, "%.17g")
PLATEAU = [("patience=1", 1, dict(patience=1, mode="max")),
           ("patience=2 factor=0.5", 0,
            dict(patience=2, factor=0.5, mode="min")),
           ("patience=0 cooldown=2 threshold=0.05 threshold_mode=abs", 1,
            dict(patience=0, cooldown=2, threshold=0.05,
                 threshold_mode="abs", mode="max")),
           ("patience=0 factor=0.5 min_factor=0.1", 1,
            dict(patience=0, factor=0.5, min_lr=0.1, mode="max"))]
table = []
for k, (opt, larger, kw) in enumerate(PLATEAU):
    f = rates(lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, **kw),
              len(SCORES), SCORES)
    array("double", "golden_plateau%d" % k, f, "%.17g")
    table.append('  { "%s", %d, golden_plateau%d },' % (opt, larger, k))
print("\nstatic const struct golden_plateau golden_plateaus[] = {")
print("\n".join(table))
print("};\n")

# ---- clipping --------------------------------------------------------------
print("/* golden_fill (5, 3, 1, 0) and golden_fill (N, 4, 1, 0.5) clipped. */")


def clipped(fn):
    p = [torch.zeros(5), torch.zeros(N)]
    p[0].grad, p[1].grad = fill(5, 3, 1.0, 0.0), fill(N, 4, 1.0, 0.5)
    fn(p)
    return [float(v) for q in p for v in q.grad]


for name, fn in (
        ("norm", lambda p: torch.nn.utils.clip_grad_norm_(p, 2.5)),
        ("wide", lambda p: torch.nn.utils.clip_grad_norm_(p, 1000)),
        ("value", lambda p: torch.nn.utils.clip_grad_value_(p, 0.25))):
    array("float", "golden_clip_" + name, clipped(fn), "%.9gf")
print("#endif /* OPTIM_GOLDEN_H */")
