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

QK_LOOP_VALUE (static, int32_t, largest,
               (const uint8_t *x, int64_t n, int64_t step), (x, n, step))
{
  uint8_t most = 0;

  if (step == 1) {
#pragma omp simd reduction(max : most)
    for (int64_t i = 0; i < n; i++)
      most = x[i] > most ? x[i] : most;
  } else
    for (int64_t i = 0; i < n; i++)
      most = x[i * step] > most ? x[i * step] : most;
  return most;
}

/* What the terms of a row X, whose largest byte is MOST, add up to. */
static int64_t
sum_of (const struct softmax *s, const uint8_t *x, int32_t most)
{
  int64_t sum = 0, more = 0, i = 0;

  for (; i + 2 <= s->length; i += 2) {
    sum += s->term[most - x[i * s->step]];
    more += s->term[most - x[(i + 1) * s->step]];
  }
  return sum + more + (i < s->length ? s->term[most - x[i * s->step]] : 0);
}

/* qk_softmax_real with the term at hand. */
static float
real_of (const struct softmax *s, int32_t d, int64_t sum, float log)
{
  return s->function == QK_LOG_SOFTMAX ? -(float) d * s->scale - log
                                       : (float) s->term[d] / (float) sum;
}

static float
log_of (const struct softmax *s, int64_t sum)
{
  return s->function == QK_LOG_SOFTMAX
           ? qk_ln ((float) sum * (1.0f / 1073741824.0f))
           : 0.0f;
}

void
softmax_real_row (const struct softmax *s, const uint8_t *x, int64_t i,
                  float *y)
{
  const int64_t at = softmax_row (s, i);
  const int32_t most = largest (x + at, s->length, s->step);
  const int64_t sum = sum_of (s, x + at, most);
  const float log = log_of (s, sum);

  for (int64_t k = at; k < at + s->length * s->step; k += s->step)
    y[k] = real_of (s, most - x[k], sum, log);
}

/* The bytes that become of 0..MOST, by the byte. */
static void
make_table (const struct softmax *s, int32_t most, int64_t sum,
            const struct qk_qparams *q, int32_t lo, int32_t hi,
            uint8_t table[256])
{
  const float inv = 1.0f / q->scale, log = log_of (s, sum);
  float y[256];

  for (int32_t b = 0; b <= most; b++)
    y[b] = real_of (s, most - b, sum, log);
  for (int32_t b = 0; b <= most; b++)
    table[b] = (uint8_t) qk_quantize (y[b], inv, q->zero_point, lo, hi);
}

void
softmax_byte_row (const struct softmax *s, const uint8_t *x, int64_t i,
                  const struct qk_qparams *q, int32_t lo, int32_t hi,
                  uint8_t *y)
{
  const int64_t at = softmax_row (s, i);
  const int64_t end = at + s->length * s->step;
  const int32_t most = largest (x + at, s->length, s->step);
  const int64_t sum = sum_of (s, x + at, most);
  const float inv = 1.0f / q->scale, log = log_of (s, sum);
  uint8_t table[256];

  if (s->length < LONG_ROW) {
    for (int64_t k = at; k < end; k += s->step)
      y[k] = (uint8_t) qk_quantize (real_of (s, most - x[k], sum, log), inv,
                                    q->zero_point, lo, hi);
    return;
  }
  make_table (s, most, sum, q, lo, hi, table);
  for (int64_t k = at; k < end; k += s->step)
    y[k] = table[x[k]];
}
