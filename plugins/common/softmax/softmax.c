/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* softmax.c: softmax of bytes along an axis; see softmax.h. */
#include "config.h"

#include "softmax.h"

#include "multiversion.h"

#define LONG_ROW 256 /* from here on the 256 outputs are made first */

void
softmax_plan (const struct qk_shape *shape, int axis, int function,
              struct softmax *out)
{
  out->function = function;
  out->length = shape->dims[axis];
  out->step = 1;
  for (int i = axis + 1; i < shape->ndim; i++)
    out->step *= shape->dims[i];
}

void
softmax_set_scale (struct softmax *s, float scale)
{
  s->scale = scale;
  for (int32_t d = 0; d < 256; d++)
    s->term[d] = qk_softmax_term (d, scale);
}

/* ---- a row, within the loops of each CPU level -------------------------*/

#define PART static inline __attribute__ ((always_inline))

PART int32_t
largest (const uint8_t *x, int64_t n, int64_t step)
{
  uint8_t most = 0;

  if (step == 1 && n >= 16) { /* else joining lanes takes longer */
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; i++)
      most = x[i] > most ? x[i] : most;
  } else
    for (int64_t i = 0; i < n; i++)
      most = x[i * step] > most ? x[i * step] : most;
  return most;
}

/* What the terms of a row X, whose largest byte is MOST, add up to; its bytes
 * are STEP apart. */
PART int64_t
sum_along (const struct softmax *s, const uint8_t *x, int32_t most,
           int64_t step)
{
  int64_t sum = 0, more = 0, i = 0;

  for (; i + 2 <= s->length; i += 2) {
    sum += s->term[most - x[i * step]];
    more += s->term[most - x[(i + 1) * step]];
  }
  return sum + more + (i < s->length ? s->term[most - x[i * step]] : 0);
}

PART int64_t
sum_of (const struct softmax *s, const uint8_t *x, int32_t most)
{
  return s->step == 1 ? sum_along (s, x, most, 1)
                      : sum_along (s, x, most, s->step);
}

PART float
log_of (const struct softmax *s, int64_t sum)
{
  return s->function == QK_LOG_SOFTMAX
           ? qk_ln ((float) sum * (1.0f / 1073741824.0f))
           : 0.0f;
}

/* qk_softmax_real of the byte MOST - D, with its term at hand. */
PART float
real_of (const struct softmax *s, int32_t d, int64_t sum, float log)
{
  return s->function == QK_LOG_SOFTMAX ? -(float) d * s->scale - log
                                       : (float) s->term[d] / (float) sum;
}

/* The results of a short row to Y, side by side. */
PART void
short_row (const struct softmax *s, const uint8_t *x, float *y)
{
  const int64_t n = s->length, step = s->step;
  const int32_t most = largest (x, n, step);
  int32_t term[LONG_ROW];
  int64_t sum = 0;

  for (int64_t k = 0; k < n; k++)
    sum += term[k] = s->term[most - x[k * step]];
  if (s->function == QK_LOG_SOFTMAX) {
    const float log = log_of (s, sum);

    for (int64_t k = 0; k < n; k++)
      y[k] = real_of (s, most - x[k * step], sum, log);
    return;
  }
  QK_SIMD
  for (int64_t k = 0; k < n; k++)
    y[k] = (float) term[k] / (float) sum;
}

/* The results of the bytes 0..255 in the long row X, by the byte. */
PART void
long_row (const struct softmax *s, const uint8_t *x, float y[256])
{
  const int32_t most = largest (x, s->length, s->step);
  const int64_t sum = sum_of (s, x, most);
  const float log = log_of (s, sum);

  for (int32_t b = 0; b < 256; b++)
    y[b] = real_of (s, b < most ? most - b : 0, sum, log);
}

/* ---- rows --------------------------------------------------------------*/

QK_LOOP (, softmax_real_rows,
         (const struct softmax *s, const uint8_t *all, int64_t first,
          int64_t end, float *to),
         (s, all, first, end, to))
{
  float real[256];

  for (int64_t i = first; i < end; i++) {
    const int64_t at = softmax_row (s, i), step = s->step;
    const uint8_t *x = all + at;
    float *y = to + at;

    if (s->length < LONG_ROW) {
      short_row (s, x, real);
      for (int64_t k = 0; k < s->length; k++)
        y[k * step] = real[k];
      continue;
    }
    long_row (s, x, real);
    for (int64_t k = 0; k < s->length; k++)
      y[k * step] = real[x[k * step]];
  }
}

QK_LOOP (, softmax_byte_rows,
         (const struct softmax *s, const uint8_t *all, int64_t first,
          int64_t end, const struct qk_qparams *q, int32_t lo, int32_t hi,
          uint8_t *to),
         (s, all, first, end, q, lo, hi, to))
{
  const float inv = 1.0f / q->scale;
  const int32_t zp = q->zero_point;
  const bool is_short = s->length < LONG_ROW;
  const int64_t count = is_short ? s->length : 256;
  float real[256];
  uint8_t byte[256];

  for (int64_t i = first; i < end; i++) {
    const int64_t at = softmax_row (s, i), step = s->step;
    const uint8_t *x = all + at;
    uint8_t *y = to + at;

    if (is_short)
      short_row (s, x, real);
    else
      long_row (s, x, real);
    QK_SIMD
    for (int64_t k = 0; k < count; k++)
      byte[k] = (uint8_t) qk_quantize (real[k], inv, zp, lo, hi);
    if (is_short)
      for (int64_t k = 0; k < s->length; k++)
        y[k * step] = byte[k];
    else if (step == 1)
      for (int64_t k = 0; k < s->length; k++)
        y[k] = byte[x[k]];
    else
      for (int64_t k = 0; k < s->length; k++)
        y[k * step] = byte[x[k * step]];
  }
}
