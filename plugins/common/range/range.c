/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* range.c: a range per channel, what observers of ranges have in common. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "multiversion.h"
#include "range/range.h"

/* Lanes of the loop over elements: a compiler may not reorder the minimum of
 * floats by itself.  More than 16, or gcc -O3 unrolls instead of
 * vectorising. */
#define RANGE_LANES 32
#define RANGE_BLOCK 16384

int
range_init (struct range *r, const struct qk_quant_info *info)
{
  r->channels = (size_t) info->channels;
  r->min = qk_alloc (r->channels * sizeof (float));
  r->max = qk_alloc (r->channels * sizeof (float));
  if (r->min == NULL || r->max == NULL) {
    range_clear (r);
    return qk_oom ("%zu ranges", r->channels);
  }
  for (size_t c = 0; c < r->channels; c++) {
    r->min[c] = INFINITY;
    r->max[c] = -INFINITY;
  }
  return 0;
}

void
range_clear (struct range *r)
{
  qk_free (r->min);
  qk_free (r->max);
  r->min = r->max = NULL;
}

bool
range_seen (const struct range *r)
{
  /* the channels are always seen together */
  return !(r->min[0] == INFINITY && r->max[0] == -INFINITY);
}

int
range_get (const struct range *r, float *min, float *max)
{
  if (!range_seen (r))
    return -ENODATA;
  memcpy (min, r->min, r->channels * sizeof (float));
  memcpy (max, r->max, r->channels * sizeof (float));
  return 0;
}

int
range_state (struct range *r, struct qk_state *st)
{
  const int e = qk_state_add (st, "min_val", QK_F32, r->min, r->channels);

  if (e < 0)
    return e;
  return qk_state_add (st, "max_val", QK_F32, r->max, r->channels);
}

QK_LOOP (static, range_find_block,
         (const float *x, size_t n, float *min, float *max), (x, n, min, max))
{
  float lo[RANGE_LANES], hi[RANGE_LANES];
  size_t i = 0;

  for (int j = 0; j < RANGE_LANES; j++) {
    lo[j] = INFINITY;
    hi[j] = -INFINITY;
  }
  for (; i + RANGE_LANES <= n; i += RANGE_LANES)
    for (int j = 0; j < RANGE_LANES; j++) {
      const float v = x[i + (size_t) j];

      lo[j] = v < lo[j] ? v : lo[j];
      hi[j] = v > hi[j] ? v : hi[j];
    }
  for (int j = 0; i < n; i++, j++) {
    lo[j] = x[i] < lo[j] ? x[i] : lo[j];
    hi[j] = x[i] > hi[j] ? x[i] : hi[j];
  }
  for (int j = 0; j < RANGE_LANES; j++) {
    *min = lo[j] < *min ? lo[j] : *min;
    *max = hi[j] > *max ? hi[j] : *max;
  }
}

void
range_find (const float *x, size_t n, float *min, float *max)
{
  const size_t blocks = (n + RANGE_BLOCK - 1) / RANGE_BLOCK;
  float lo = INFINITY, hi = -INFINITY;

#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (blocks > 4) reduction(min       \
                                                                    : lo)     \
  reduction(max                                                               \
            : hi)
#endif
  for (size_t b = 0; b < blocks; b++) {
    const size_t start = b * RANGE_BLOCK;
    const size_t size = n - start < RANGE_BLOCK ? n - start : RANGE_BLOCK;

    range_find_block (x + start, size, &lo, &hi);
  }
  /* -0 or 0 as the smallest would depend on the order */
  *min = lo + 0.0f;
  *max = hi + 0.0f;
}
