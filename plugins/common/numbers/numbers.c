/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* numbers.c: blocks of bytes on a grid to real numbers, and back. */
#include "config.h"

#include <qatkit/numeric.h>

#include "multiversion.h"
#include "numbers.h"

QK_LOOP (, numbers_of_bytes,
         (const uint8_t *restrict byte, int64_t n, const struct qk_qparams *q,
          float *restrict out),
         (byte, n, q, out))
{
  const float scale = q->scale;
  const int32_t zp = q->zero_point;

  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    out[i] = qk_dequantize (byte[i], scale, zp);
}

QK_LOOP (, numbers_to_bytes,
         (const float *restrict x, int64_t n, const struct qk_qparams *q,
          int32_t lo, int32_t hi, uint8_t *restrict byte),
         (x, n, q, lo, hi, byte))
{
  const float inv = 1.0f / q->scale;
  const int32_t zp = q->zero_point;

  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    byte[i] = (uint8_t) qk_quantize (x[i], inv, zp, lo, hi);
}
