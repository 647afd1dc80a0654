/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* extent.c: the smallest and largest of numbers that come block by block. */
#include "config.h"

#include "extent.h"
#include "multiversion.h"

QK_LOOP (, extent_block,
         (const float *restrict y, int64_t n, struct extent *e), (y, n, e))
{
  float lo = e->min, hi = e->max;
  int bad = 0;

#pragma omp simd reduction(min : lo) reduction(max : hi) reduction(| : bad)
  for (int64_t i = 0; i < n; i++) {
    lo = y[i] < lo ? y[i] : lo;
    hi = y[i] > hi ? y[i] : hi;
    bad |= !(y[i] - y[i] == 0.0f);
  }
  e->min = lo;
  e->max = hi;
  e->bad |= bad != 0;
}

int
extent_observe (struct qk_quantizer *qz, const struct extent *e, int n)
{
  float min = INFINITY, max = -INFINITY;
  bool bad = false;

  for (int i = 0; i < n; i++) {
    min = e[i].min < min ? e[i].min : min;
    max = e[i].max > max ? e[i].max : max;
    bad |= e[i].bad;
  }
  if (bad)
    min = NAN;
  /* -0 or 0 as the smallest would depend on the order */
  min += 0.0f;
  max += 0.0f;
  return qk_quantizer_observe_range (qz, &min, &max);
}
