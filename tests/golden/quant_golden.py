#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes quant_golden.h: what PyTorch's observers, fake-quantizers and
optimizers make of generated numbers, as the bits of the floats.

Run with Debian's python3-torch 1.13:
    /usr/bin/python3 tests/golden/quant_golden.py > tests/golden/quant_golden.h
"""
import warnings

import numpy as np
import torch
from torch.ao.quantization import observer as obs

warnings.simplefilter("ignore")
torch.set_num_threads(1)


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


def bits(t):
    return [int(v) for v in
            t.detach().to(torch.float32).reshape(-1).numpy().view(np.uint32)]


def fnv(t):
    h = 2166136261
    for b in bits(t):
        h = ((h ^ b) * 16777619) & 0xFFFFFFFF
    return h


def array(ctype, name, values, fmt="0x%08xu"):
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


class FixedHistogram(obs.HistogramObserver):
    """HistogramObserver that counts within the real bounds, and keeps the
    running sum in double throughout."""

    def forward(self, x):
        lo, hi = torch.aminmax(x)
        first = self.min_val == float("inf") or self.min_val == self.max_val
        if first:
            h = torch.histc(x, self.bins, min=lo.item(), max=hi.item())
        else:
            lo = torch.min(lo, self.min_val)
            hi = torch.max(hi, self.max_val)
            lo, hi, down, start = self._adjust_min_max(lo, hi,
                                                       self.upsample_rate)
            h = torch.histc(x, self.bins, min=lo.item(), max=hi.item())
            if lo == self.min_val and hi == self.max_val:
                h += self.histogram
            else:
                up = self.upsample_rate
                cells = torch.zeros(self.bins * down, dtype=torch.double)
                cells[start:start + self.bins * up] = \
                    self.histogram.double().repeat_interleave(up)
                total = torch.cumsum(cells, 0)[down - 1::down]
                before = torch.zeros_like(total)
                before[1:] = total[:-1]
                h += ((total - before) / up).float()
        self.histogram.copy_(h)
        self.min_val.copy_(lo)
        self.max_val.copy_(hi)
        return x


class FixedRange(obs.MinMaxObserver):
    """The range it is told, whatever it sees: qparams as PyTorch makes them."""

    def __init__(self, lo, hi, **kw):
        super().__init__(**kw)
        self.min_val.fill_(lo)
        self.max_val.fill_(hi)

    def forward(self, x):
        return x


# name of the plugin, its options, weight?, symmetric?, qmin, qmax, channels,
# PyTorch's observer, batches of (elements, scale, offset)
Q8 = dict(dtype=torch.quint8, qscheme=torch.per_tensor_affine)
S8 = dict(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
U8 = dict(dtype=torch.quint8, qscheme=torch.per_tensor_symmetric)
C8 = dict(dtype=torch.qint8, qscheme=torch.per_channel_symmetric)
GROW = [(4096, 1.0, 0.3), (4096, 1.7, 0.1), (4096, 0.9, -0.4), (5000, 6.0, 2)]
SMALL = [(600, 0.05, 0.0), (600, 0.08, 0.01), (600, 0.02, 0.0)]
FAR = [(3000, 0.01, 0.0), (3000, 3.0, 0.0), (3000, 2.5, 0.0)]
ONE = [(3000, 0.25, 0.75), (3000, 0.5, 1.25), (3000, 0.25, 0.75)]
WIDE = [(20000, 4.0, 1.0), (20000, 4.0, 1.5), (20000, 9.0, 0.0),
        (20000, 8.0, 0.0), (20000, 40.0, 3.0)]


def hist(compat, **kw):
    return (obs.HistogramObserver if compat else FixedHistogram)(**kw)


R7 = dict(quant_min=0, quant_max=127)
CASES = [
    ("minmax", "", 0, 0, 0, 255, 1, obs.MinMaxObserver(**Q8), GROW),
    ("minmax", "", 0, 0, 0, 127, 1,
     obs.MinMaxObserver(reduce_range=True, **Q8), SMALL),
    ("minmax", "", 1, 1, -128, 127, 1, obs.MinMaxObserver(**S8), GROW),
    ("minmax", "", 1, 1, -8, 7, 1,
     obs.MinMaxObserver(quant_min=-8, quant_max=7, **S8), SMALL),
    ("moving_average_minmax", "", 0, 0, 0, 127, 1,
     obs.MovingAverageMinMaxObserver(reduce_range=True, **Q8), GROW),
    ("moving_average_minmax", "averaging_constant=0.3", 1, 1, -128, 127, 1,
     obs.MovingAverageMinMaxObserver(averaging_constant=0.3, **S8), SMALL),
    ("minmax", "", 1, 1, -128, 127, 6, obs.PerChannelMinMaxObserver(**C8),
     SMALL),
    ("moving_average_minmax", "", 1, 1, -128, 127, 6,
     obs.MovingAveragePerChannelMinMaxObserver(**C8), SMALL),
] + [("histogram", "compat=torch1.13" if c else "", 0, 0, 0, q, 1,
      hist(c, reduce_range=q == 127, **Q8), b)
     for c in (1, 0) for q, b in
     ((255, GROW), (127, WIDE), (255, SMALL), (255, FAR), (255, ONE))] + [
    ("fixed", "min=-0.7 max=2.3", 0, 0, 0, 255, 1,
     FixedRange(-0.7, 2.3, **Q8), SMALL),
    ("fixed", "min=0 max=6", 0, 0, 0, 127, 1,
     FixedRange(0, 6, reduce_range=True, **Q8), GROW),
    ("fixed", "min=0.5 max=6", 0, 0, 0, 15, 1,
     FixedRange(0.5, 6, quant_min=0, quant_max=15, **Q8), SMALL),
    ("fixed", "min=-0.7 max=0.3", 1, 1, -128, 127, 1,
     FixedRange(-0.7, 0.3, **S8), SMALL),
    ("fixed", "min=-0.7 max=0.3", 1, 1, -8, 7, 1,
     FixedRange(-0.7, 0.3, quant_min=-8, quant_max=7, **S8), SMALL),
    ("minmax", "", 0, 1, 0, 255, 1, obs.MinMaxObserver(**U8), GROW),
    ("minmax", "", 0, 1, 0, 127, 1,
     obs.MinMaxObserver(quant_min=0, quant_max=127, **U8), GROW),
    ("minmax", "", 0, 1, 0, 3, 1,
     obs.MinMaxObserver(quant_min=0, quant_max=3, **U8), SMALL),
    ("moving_average_minmax", "", 0, 1, 0, 255, 1,
     obs.MovingAverageMinMaxObserver(**U8), SMALL),
    ("histogram", "", 0, 1, 0, 255, 1, FixedHistogram(**U8), GROW),
    ("histogram", "compat=torch1.13", 0, 1, 0, 255, 1,
     obs.HistogramObserver(**U8), GROW),
]

print("""/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quant_golden.h: written by quant_golden.py (PyTorch %s); do not edit. */
#ifndef QUANT_GOLDEN_H
#define QUANT_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

struct golden_batch {
  size_t n;
  float scale, offset; /* for golden_fill */
};

/* Bits of floats: per batch and channel min, max, scale; and zero_points. */
struct golden_observer {
  const char *name, *options;
  int weight, symmetric, qmin, qmax, channels, batches;
  const struct golden_batch *batch;
  const uint32_t *min, *max, *scale;
  const int32_t *zero_point;
  const uint32_t *histogram; /* FNV-1a of each batch's, word by word */
};

static inline uint32_t
golden_hash (uint32_t v)
{
  v ^= v >> 16;
  v *= 0x7feb352du;
  v ^= v >> 15;
  v *= 0x846ca68bu;
  v ^= v >> 16;
  return v;
}

/* Bell-shaped numbers, the same in quant_golden.py. */
static inline void
golden_fill (float *x, size_t n, uint32_t seed, float scale, float offset)
{
  for (size_t i = 0; i < n; i++) {
    float u[4];

    for (uint32_t k = 0; k < 4; k++)
      u[k] = (float) (golden_hash ((uint32_t) i * 4 + k + seed * 1000003u)
                      >> 8)
             * 0x1p-24f;
    x[i] = (((u[0] + u[1]) + (u[2] + u[3])) - 2.0f) * scale + offset;
  }
}
""" % torch.__version__)

table = []
for k, (name, opt, weight, sym, qmin, qmax, ch, o, batches) in enumerate(CASES):
    mins, maxs, scales, zps, hashes = [], [], [], [], []
    for b, (n, s, off) in enumerate(batches):
        x = fill(n, 100 * k + b, s, off)
        o(x.reshape(ch, -1) if ch > 1 else x)
        scale, zp = o.calculate_qparams()
        mins += bits(o.min_val)
        maxs += bits(o.max_val)
        scales += bits(scale)
        zps += [int(z) for z in zp]
        if name == "histogram":
            hashes.append(fnv(o.histogram))
    p = "golden_%d" % k
    print("static const struct golden_batch %s_batch[] = {" % p)
    for n, s, off in batches:
        print("  { %d, %rf, %rf }," % (n, float(s), float(off)))
    print("};")
    array("uint32_t", p + "_min", mins)
    array("uint32_t", p + "_max", maxs)
    array("uint32_t", p + "_scale", scales)
    array("int32_t", p + "_zp", zps, "%d")
    if hashes:
        array("uint32_t", p + "_hist", hashes)
    table.append('  { "%s", "%s", %d, %d, %d, %d, %d, %d, %s_batch,\n'
                 '    %s_min, %s_max, %s_scale, %s_zp, %s },'
                 % (name, opt, weight, sym, qmin, qmax, ch, len(batches), p,
                    p, p, p, p, p + "_hist" if hashes else "NULL"))
print("\nstatic const struct golden_observer golden_observers[] = {")
print("\n".join(table))
print("};\n")

# ---- fake quantization ------------------------------------------------------
print("""/* y = fake_quantize (x), dx for dy: x = golden_fill (seed, fill, 0), its
 * first ties elements replaced by multiples of scale / 2; dy = golden_fill
 * (seed + 1, 1, 0). */
struct golden_fakequant {
  int weight, channels, per_channel, qmin, qmax, ties;
  uint32_t seed;
  float fill;
  const float *scale;
  const int32_t *zero_point;
  const uint32_t *y, *dx;
};
""")
FQ = [(0, 1, 200, 0, 255, 64, 900, 3.0, [0.0213], [77]),
      (0, 1, 200, 0, 127, 64, 902, 3.0, [0.03125], [13]),
      (0, 1, 100, 0, 255, 0, 904, 50.0, [0.1], [0]),
      (1, 1, 100, -128, 127, 50, 906, 1.0, [0.0078125], [0]),
      (1, 4, 40, -128, 127, 40, 908, 1.0,
       [0.0078125, 0.003, 0.011, 1.5e-7], [0, 0, 0, 0]),
      (1, 4, 40, -8, 7, 40, 910, 1.0, [0.1, 0.07, 0.11, 0.25], [0] * 4)]
table = []
for k, (w, ch, per, qmin, qmax, ties, seed, f, scale, zp) in enumerate(FQ):
    x = fill(ch * per, seed, f, 0.0).reshape(ch, per)
    sc = torch.tensor(scale, dtype=torch.float32)
    t = torch.arange(ties, dtype=torch.float32) - ties // 2
    x[:, :ties] = t * (sc.reshape(-1, 1) * 0.5)
    x.requires_grad_(True)
    dy = fill(ch * per, seed + 1, 1.0, 0.0).reshape(ch, per)
    if ch == 1:
        y = torch.fake_quantize_per_tensor_affine(x, float(sc[0]), zp[0],
                                                  qmin, qmax)
    else:
        y = torch.fake_quantize_per_channel_affine(
            x, sc, torch.tensor(zp, dtype=torch.int32), 0, qmin, qmax)
    y.backward(dy)
    p = "golden_fq%d" % k
    array("float", p + "_scale", [float(s) for s in sc], "%.9ef")
    array("int32_t", p + "_zp", zp, "%d")
    array("uint32_t", p + "_y", bits(y))
    array("uint32_t", p + "_dx", bits(x.grad + 0.0))
    table.append("  { %d, %d, %d, %d, %d, %d, %d, %rf, %s_scale, %s_zp,\n"
                 "    %s_y, %s_dx }," % (w, ch, per, qmin, qmax, ties, seed,
                                         f, p, p, p, p))
print("\nstatic const struct golden_fakequant golden_fakequants[] = {")
print("\n".join(table))
print("};\n")

# ---- learned step size --------------------------------------------------
print("""/* Gradient of the step, x = golden_fill (seed, fill, 0), dy = golden_fill
 * (seed + 1, 1, 0), without the factor 1 / sqrt (n qmax). */
struct golden_lsq {
  int qmin, qmax, n;
  uint32_t seed;
  float fill, scale, dscale;
};
""")
print("static const struct golden_lsq golden_lsqs[] = {")
for qmin, qmax, n, seed, f, s in [(-128, 127, 500, 950, 1.0, 0.007),
                                  (-8, 7, 500, 952, 1.0, 0.1)]:
    x = fill(n, seed, f, 0.0)
    dy = fill(n, seed + 1, 1.0, 0.0)
    sc = torch.tensor([s], requires_grad=True)
    y = torch._fake_quantize_learnable_per_tensor_affine(
        x, sc, torch.zeros(1), qmin, qmax, 1.0)
    y.backward(dy)
    print("  { %d, %d, %d, %d, %rf, %.9ef, %.9ef },"
          % (qmin, qmax, n, seed, f, float(sc), float(sc.grad)))
print("};\n")

# ---- optimizers ------------------------------------------------------------
print("""/* 41 weights golden_fill (1, 1, 0) after 6 steps with gradients
 * golden_fill (2 + step, 0.5, 0). */
#define GOLDEN_OPTIM_N 41
#define GOLDEN_OPTIM_STEPS 6
struct golden_optimizer {
  const char *name, *options;
  float lr;
  const uint32_t *w;
};
""")
LR = 2.0 ** -6
OPT = [("sgd", "", torch.optim.SGD, {}),
       ("sgd", "weight_decay=0.01", torch.optim.SGD, dict(weight_decay=0.01)),
       ("sgd", "momentum=0.9", torch.optim.SGD, dict(momentum=0.9)),
       ("sgd", "momentum=0.9 dampening=0.25 weight_decay=0.001",
        torch.optim.SGD,
        dict(momentum=0.9, dampening=0.25, weight_decay=0.001)),
       ("sgd", "momentum=0.8 nesterov=yes weight_decay=0.001",
        torch.optim.SGD,
        dict(momentum=0.8, nesterov=True, weight_decay=0.001)),
       ("adam", "", torch.optim.Adam, {}),
       ("adam", "beta1=0.8 beta2=0.99 eps=1e-6 weight_decay=0.01",
        torch.optim.Adam,
        dict(betas=(0.8, 0.99), eps=1e-6, weight_decay=0.01))]
table = []
for k, (name, opt, cls, kw) in enumerate(OPT):
    w = fill(41, 1, 1.0, 0.0).clone().requires_grad_(True)
    o = cls([w], lr=LR, **kw)
    for step in range(6):
        w.grad = fill(41, 2 + step, 0.5, 0.0)
        o.step()
    array("uint32_t", "golden_opt%d" % k, bits(w))
    table.append('  { "%s", "%s", %rf, golden_opt%d },' % (name, opt, LR, k))
print("\nstatic const struct golden_optimizer golden_optimizers[] = {")
print("\n".join(table))
print("};\n")
print("#endif /* QUANT_GOLDEN_H */")
