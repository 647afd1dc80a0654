/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lrn.c: local response normalisation of bytes; see lrn.h. */
#include "config.h"

#include "lrn.h"

#include "multiversion.h"

void
lrn_sums (const struct lrn *l, const uint8_t *x, const struct qk_qparams *q,
          int32_t *sum)
{
  const int64_t half = l->size / 2, c = l->channels;
  const int32_t z = q->zero_point;
  int32_t squares = 0;

  /* the window moves: what enters on its right, less what leaves */
  for (int64_t i = 0; i < half && i < c; i++)
    squares += (x[i] - z) * (x[i] - z);
  for (int64_t i = 0; i < c; i++) {
    if (i + half < c)
      squares += (x[i + half] - z) * (x[i + half] - z);
    sum[i] = squares;
    if (i >= half)
      squares -= (x[i - half] - z) * (x[i - half] - z);
  }
}

QK_LOOP (static, real_row,
         (const uint8_t *restrict x, const int32_t *restrict sum, int64_t n,
          const struct qk_qparams *q, const struct lrn *l, float *restrict y),
         (x, sum, n, q, l, y))
{
  const float share = l->share, power = l->power, offset = l->offset;
  const float scale = q->scale;
  const int32_t z = q->zero_point;

  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i]
      = qk_lrn_real (qk_dequantize (x[i], scale, z),
                     (float) sum[i] * (scale * scale), share, power, offset);
}

void
lrn_real_row (const struct lrn *l, const uint8_t *x,
              const struct qk_qparams *q, const int32_t *sum, float *y)
{
  real_row (x, sum, l->channels, q, l, y);
}
