/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* affine.c: a factor and a summand for each channel; see affine.h. */
#include "config.h"

#include "affine.h"

#include <math.h>

#include <qatkit/numeric.h>

#include "multiversion.h"

#define MOST_WEIGHT 127
#define MOST_BIAS 1073741824.0f /* of qk_quantize_bias */

/* Scales that leave no product of scales below what floats hold. */
#define LEAST_SCALE 1e-25f

struct affine
affine_at (void *base, int64_t channels)
{
  int32_t *i = base;
  float *f = (float *) (void *) (i + 2 * channels);

  return (struct affine){ i, i + channels, f, f + channels, f + 2 * channels };
}

/* The scale of a weight for y = a x + b. */
static float
scale_for (float a, float b, float s_in)
{
  const float by_weight = fabsf (a) / (float) MOST_WEIGHT;
  const float by_bias = fabsf (b) / (s_in * MOST_BIAS);
  float s = by_weight > by_bias ? by_weight : by_bias;

  s = s > LEAST_SCALE / s_in ? s : LEAST_SCALE / s_in;
  return s > LEAST_SCALE ? s : LEAST_SCALE;
}

void
affine_fold (const struct affine *f, int64_t channels, float s_in,
             const float *gamma, const float *beta, const float *mean,
             const float *inv_std)
{
  for (int64_t c = 0; c < channels; c++) {
    const float a = gamma[c] * inv_std[c];
    const float b = (float) ((double) beta[c] - (double) mean[c] * (double) a);
    const float s = scale_for (a, b, s_in);

    f->sw[c] = s;
    f->real[c] = s_in * s;
    f->w[c] = qk_clamp_rounded (qk_rne (a / s), 0, -MOST_WEIGHT, MOST_WEIGHT);
    f->bias[c] = qk_quantize_bias (b, s_in, s);
  }
}

void
affine_multipliers (const struct affine *a, int64_t channels, float s_in,
                    const struct qk_qparams *q)
{
  for (int64_t c = 0; c < channels; c++)
    a->m[c] = q->scale > 0.0f ? qk_multiplier (s_in, a->sw[c], q->scale)
                              : a->real[c];
}

QK_LOOP (static, bytes_loop,
         (const struct affine *a, const uint8_t *restrict x, int32_t z,
          int64_t rows, int64_t channels, int32_t zp, int32_t lo, int32_t hi,
          uint8_t *restrict y),
         (a, x, z, rows, channels, zp, lo, hi, y))
{
  const int32_t *w = a->w, *bias = a->bias;
  const float *m = a->m;

  for (int64_t r = 0; r < rows; r++, x += channels, y += channels)
    QK_SIMD
  for (int64_t c = 0; c < channels; c++)
    y[c] = (uint8_t) qk_requantize ((x[c] - z) * w[c] + bias[c], m[c], zp, lo,
                                    hi);
}

void
affine_to_bytes (const struct affine *a, const uint8_t *x, int32_t z,
                 int64_t rows, int64_t channels, const struct qk_qparams *q,
                 int32_t lo, int32_t hi, uint8_t *y)
{
  bytes_loop (a, x, z, rows, channels, q->zero_point, lo, hi, y);
}

QK_LOOP (static, real_loop,
         (const struct affine *a, const uint8_t *restrict x, int32_t z,
          int64_t rows, int64_t channels, float *restrict y),
         (a, x, z, rows, channels, y))
{
  const int32_t *w = a->w, *bias = a->bias;
  const float *real = a->real;

  for (int64_t r = 0; r < rows; r++, x += channels, y += channels)
    QK_SIMD
  for (int64_t c = 0; c < channels; c++)
    y[c] = (float) ((x[c] - z) * w[c] + bias[c]) * real[c];
}

void
affine_to_real (const struct affine *a, const uint8_t *x, int32_t z,
                int64_t rows, int64_t channels, float *y)
{
  real_loop (a, x, z, rows, channels, y);
}

QK_LOOP (static, gate_loop,
         (const struct affine *a, const uint8_t *restrict x, int32_t z,
          int64_t rows, int64_t channels, float lo, float hi, const float *dy,
          float *g),
         (a, x, z, rows, channels, lo, hi, dy, g))
{
  const int32_t *w = a->w, *bias = a->bias;
  const float *m = a->m;

  for (int64_t r = 0; r < rows;
       r++, x += channels, dy += channels, g += channels)
    QK_SIMD
  for (int64_t c = 0; c < channels; c++) {
    const float v = qk_rne ((float) ((x[c] - z) * w[c] + bias[c]) * m[c]);

    g[c] = v >= lo && v <= hi ? dy[c] : 0.0f;
  }
}

void
affine_gate (const struct affine *a, const uint8_t *x, int32_t z, int64_t rows,
             int64_t channels, const struct qk_qparams *q, const float *dy,
             float *g)
{
  gate_loop (a, x, z, rows, channels, (float) (q->qmin - q->zero_point),
             (float) (q->qmax - q->zero_point), dy, g);
}
