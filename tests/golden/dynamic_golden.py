#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes dynamic_golden.h: what PyTorch's dynamic linear layer makes of
generated numbers, as the bits of the floats.

Run with Debian's python3-torch 1.13:
    /usr/bin/python3 tests/golden/dynamic_golden.py > tests/golden/dynamic_golden.h
"""
import warnings

import numpy as np
import torch

warnings.simplefilter("ignore")
torch.set_num_threads(1)
# exact in float32, unlike onednn's; it ignores reduce_range
torch.backends.quantized.engine = "qnnpack"

N, C, K = 3, 20, 7
# a multiplier and a summand for the numbers of each case
CASES = [(1, 0.125), (40, -3), (0.5, 2), (1.0 / 1048576, 0), (0, 0),
         (-2, -4)]


def numbers(n, seed):
    """Multiples of 1/512 in -1..1: dynamic_number in check_ptq.c."""
    i = np.arange(n, dtype=np.uint32) + np.uint32(1000 * seed)
    h = i * np.uint32(2654435761)
    h ^= h >> np.uint32(15)
    h *= np.uint32(2246822519)
    v = (h >> np.uint32(16)) % np.uint32(1025)
    return torch.from_numpy((v.astype(np.float32) - 512) / 512)


def array(name, t):
    values = t.detach().reshape(-1).numpy().view(np.uint32)
    print("static const uint32_t %s[%d] = {" % (name, len(values)))
    for i in range(0, len(values), 6):
        print("  " + " ".join("0x%08xu," % v for v in values[i:i + 6]))
    print("};")


linear = torch.nn.Linear(C, K)
linear.weight.data = numbers(K * C, 1).reshape(K, C) * 0.25
linear.bias.data = numbers(K, 2)
dynamic = torch.ao.quantization.quantize_dynamic(
    torch.nn.Sequential(linear), {torch.nn.Linear})

print("""/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dynamic_golden.h: written by dynamic_golden.py (PyTorch %s); do not edit. */
#ifndef DYNAMIC_GOLDEN_H
#define DYNAMIC_GOLDEN_H

#include <stdint.h>

enum { DYNAMIC_N = %d, DYNAMIC_C = %d, DYNAMIC_K = %d, DYNAMIC_CASES = %d };

/* multiplier and summand of each case */
static const float dynamic_case[%d][2] = {""" % (
    torch.__version__, N, C, K, len(CASES), len(CASES)))
for a, b in CASES:
    print("  { %s, %s }," % (float(a).hex() + "f", float(b).hex() + "f"))
print("};")
array("dynamic_bits",
      torch.cat([dynamic(numbers(N * C, 3 + i).reshape(N, C) * a + b)
                 for i, (a, b) in enumerate(CASES)]))
print("\n#endif /* DYNAMIC_GOLDEN_H */")
