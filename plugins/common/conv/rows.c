/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rows.c: the loops over blocks of rows that must run fast. */
#include "config.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include <qatkit/cpu.h>

#include "conv/rows.h"
#include "multiversion.h"

/* A block is seen as pieces of PERIOD elements, the last may be shorter. */
#define FOR_PIECES(i, len, n, period)                                         \
  for (size_t i = 0, len; (len = (n) -i < (period) ? (n) -i : (period)) > 0;  \
       i += len)

QK_LOOP (, qk_rows_expand,
         (const uint8_t *restrict x, size_t n, float z, float *restrict out),
         (x, n, z, out))
{
  QK_SIMD
  for (size_t i = 0; i < n; i++)
    out[i] = (float) x[i] - z;
}

/* What a level has beside the portable loops: NULL where these are as good as
 * any. */
struct level_loops {
  size_t (*moments) (const float *x, size_t n, size_t period, double *sum,
                     double *sq);
  size_t (*grad_sums) (const float *dout, const float *acc, size_t n,
                       size_t period, const struct qk_conv_mask *m, double *sg,
                       double *sgu);
  void (*depthwise_3x3_grad) (const float *const *row, float *const *drow,
                              const float *w, float *dw, int64_t c, int64_t q,
                              const float *d);
};

static struct level_loops
level_loops (void)
{
#if defined(__x86_64__) || defined(__i386__)
  const enum qk_cpu_level level = qk_cpu_current ();

  if (level == QK_CPU_AVX2 || level == QK_CPU_AVXVNNI)
    return (struct level_loops){ qk_rows_moments__avx2,
                                 qk_rows_grad_sums__avx2,
                                 qk_rows_depthwise_3x3_grad__avx2 };
#endif
  return (struct level_loops){ NULL, NULL, NULL };
}

QK_LOOP (static, moments,
         (const float *restrict x, size_t n, size_t period,
          double *restrict sum, double *restrict sq),
         (x, n, period, sum, sq))
{
  FOR_PIECES (i, len, n, period)
  {
    const float *restrict v = x + i;

    QK_SIMD
    for (size_t j = 0; j < len; j++) {
      const double d = v[j];

      sum[j] += d;
      sq[j] += d * d;
    }
  }
}

void
qk_rows_moments (const float *x, size_t n, size_t period, double *sum,
                 double *sq)
{
  const struct level_loops here = level_loops ();
  size_t done = 0;

  if (here.moments && period % 8 == 0)
    done = here.moments (x, n, period, sum, sq);
  moments (x + done, n - done, period, sum, sq);
}

QK_LOOP (, qk_rows_minmax,
         (const float *restrict x, size_t n, size_t period,
          float *restrict min, float *restrict max),
         (x, n, period, min, max))
{
  FOR_PIECES (i, len, n, period)
  {
    const float *restrict v = x + i;

    QK_SIMD
    for (size_t j = 0; j < len; j++) {
      min[j] = v[j] < min[j] ? v[j] : min[j];
      max[j] = v[j] > max[j] ? v[j] : max[j];
    }
  }
}

/* NaN gives the lower bound, as in qk_clamp_rounded. */
static inline float
clampf (float x, float lo, float hi)
{
  x = x > lo ? x : lo;
  return x < hi ? x : hi;
}

QK_LOOP (, qk_rows_affine,
         (const float *acc, size_t n, size_t period, const float *restrict a,
          const float *restrict b, float lo, float hi, float *y),
         (acc, n, period, a, b, lo, hi, y))
{
  FOR_PIECES (i, len, n, period)
  QK_SIMD
  for (size_t j = 0; j < len; j++) {
    float v = acc[i + j] * a[j] + b[j];

    /* a NaN stays one: the loss must see it */
    v = v < lo ? lo : v;
    y[i + j] = v > hi ? hi : v;
  }
}

QK_LOOP (, qk_rows_affine_u8,
         (const float *restrict acc, size_t n, size_t period,
          const float *restrict a, const float *restrict b,
          const struct qk_conv_grid *g, uint8_t *restrict q),
         (acc, n, period, a, b, g, q))
{
  const float ylo = g->ylo, yhi = g->yhi, inv = g->inv;
  const float lo = (float) (g->lo - g->zp), hi = (float) (g->hi - g->zp);
  const int32_t zp = g->zp;

  FOR_PIECES (i, len, n, period)
  {
    const float *restrict v = acc + i;
    uint8_t *restrict o = q + i;

    QK_SIMD
    for (size_t j = 0; j < len; j++) {
      const float y = clampf (v[j] * a[j] + b[j], ylo, yhi);

      o[j] = (uint8_t) ((int32_t) clampf (rintf (y * inv), lo, hi) + zp);
    }
  }
}

static inline float
from_float (float acc, int32_t bias)
{
  return (float) ((int32_t) acc + bias);
}

static inline float
from_i32 (int32_t acc, int32_t bias)
{
  return (float) (acc + bias);
}

/* The float of the int64 that ACC is, bias included: both sums are exact. */
static inline float
from_f64 (double acc, int32_t bias)
{
  return (float) (acc + (double) bias);
}

/* Loops over rows of accumulators of TYPE, which AS turns to float: to the integers of
 * a grid, to the real numbers that those stand for, and to real numbers without a
 * grid, which may lie where the accumulators are. */
#define REQUANTIZE(name, type, as)                                            \
  QK_LOOP (, name,                                                            \
           (const type *restrict acc, size_t n, size_t period,                \
            const int32_t *restrict bias, const float *restrict m,            \
            const struct qk_conv_grid *g, uint8_t *restrict q),               \
           (acc, n, period, bias, m, g, q))                                   \
  {                                                                           \
    const float lo = (float) (g->lo - g->zp), hi = (float) (g->hi - g->zp);   \
    const int32_t zp = g->zp;                                                 \
                                                                              \
    FOR_PIECES (i, len, n, period)                                            \
    {                                                                         \
      const type *restrict v = acc + i;                                       \
      uint8_t *restrict o = q + i;                                            \
                                                                              \
      QK_SIMD                                                                 \
      for (size_t j = 0; j < len; j++) {                                      \
        const float x = as (v[j], bias[j]) * m[j];                            \
                                                                              \
        o[j] = (uint8_t) ((int32_t) clampf (rintf (x), lo, hi) + zp);         \
      }                                                                       \
    }                                                                         \
  }

/* + 0.0f: what rounds to -0 is the integer 0 like any other. */
#define REGRID(name, type, as)                                                \
  QK_LOOP (, name,                                                            \
           (const type *restrict acc, size_t n, size_t period,                \
            const int32_t *restrict bias, const float *restrict m,            \
            const struct qk_conv_grid *g, float scale, float *restrict y),    \
           (acc, n, period, bias, m, g, scale, y))                            \
  {                                                                           \
    const float lo = (float) (g->lo - g->zp), hi = (float) (g->hi - g->zp);   \
                                                                              \
    FOR_PIECES (i, len, n, period)                                            \
    QK_SIMD                                                                   \
    for (size_t j = 0; j < len; j++) {                                        \
      const float x = as (acc[i + j], bias[j]) * m[j];                        \
                                                                              \
      y[i + j] = (clampf (rintf (x), lo, hi) + 0.0f) * scale;                 \
    }                                                                         \
  }

#define DEQUANTIZE(name, type, as)                                            \
  QK_LOOP (, name,                                                            \
           (const type *acc, size_t n, size_t period,                         \
            const int32_t *restrict bias, const float *restrict s, float lo,  \
            float hi, float *y),                                              \
           (acc, n, period, bias, s, lo, hi, y))                              \
  {                                                                           \
    FOR_PIECES (i, len, n, period)                                            \
    QK_SIMD                                                                   \
    for (size_t j = 0; j < len; j++)                                          \
      y[i + j] = clampf (as (acc[i + j], bias[j]) * s[j], lo, hi);            \
  }

REQUANTIZE (qk_rows_requantize, float, from_float)
REQUANTIZE (qk_rows_requantize_i32, int32_t, from_i32)
REQUANTIZE (qk_rows_requantize_f64, double, from_f64)
REGRID (qk_rows_regrid, float, from_float)
REGRID (qk_rows_regrid_i32, int32_t, from_i32)
REGRID (qk_rows_regrid_f64, double, from_f64)
DEQUANTIZE (qk_rows_dequantize, float, from_float)
DEQUANTIZE (qk_rows_dequantize_i32, int32_t, from_i32)
DEQUANTIZE (qk_rows_dequantize_f64, double, from_f64)

QK_LOOP (, qk_rows_scale_f64,
         (const double *restrict acc, size_t n, float s, float *restrict y),
         (acc, n, s, y))
{
  QK_SIMD
  for (size_t i = 0; i < n; i++)
    y[i] = (float) acc[i] * s;
}

QK_LOOP (, qk_rows_put_on_grid,
         (float *y, size_t n, const struct qk_conv_grid *g, float scale),
         (y, n, g, scale))
{
  const float inv = g->inv;
  const float lo = (float) (g->lo - g->zp), hi = (float) (g->hi - g->zp);

  QK_SIMD
  for (size_t i = 0; i < n; i++)
    y[i] = (clampf (rintf (y[i] * inv), lo, hi) + 0.0f) * scale;
}

QK_LOOP (, qk_rows_add_i32,
         (const float *restrict x, size_t n, int32_t *restrict acc),
         (x, n, acc))
{
  QK_SIMD
  for (size_t i = 0; i < n; i++)
    acc[i] += (int32_t) x[i];
}

QK_LOOP (, qk_rows_to_float, (const int32_t *acc, size_t n, float *y),
         (acc, n, y))
{
  QK_SIMD
  for (size_t i = 0; i < n; i++)
    y[i] = (float) acc[i];
}

/* ---- backward ----------------------------------------------------------*/

/* The smallest y whose product with INV is at least V: products round
 * monotonously. */
static float
least_product (float v, float inv)
{
  float y = v / inv;

  while (nextafterf (y, -INFINITY) * inv >= v)
    y = nextafterf (y, -INFINITY);
  while (y * inv < v)
    y = nextafterf (y, INFINITY);
  return y;
}

/* The smallest number that rounds to R or more: halves go to even. */
static float
least_rounded (float r)
{
  const float half = r - 0.5f;

  return fmodf (r, 2.0f) == 0.0f ? half : nextafterf (half, INFINITY);
}

void
qk_conv_mask_bounds (struct qk_conv_mask *m, float ylo, float yhi, float inv,
                     float rlo, float rhi)
{
  m->lo = nextafterf (ylo, INFINITY);
  m->hi = nextafterf (yhi, -INFINITY);
  if (inv == 0.0f)
    return;
  m->lo = fmaxf (m->lo, least_product (least_rounded (rlo), inv));
  m->hi = fminf (m->hi, -least_product (least_rounded (-rhi), inv));
}

/* Bitwise &, no branches, so that the loops become vector code. */
static inline float
masked (float dout, float y, float lo, float hi)
{
  return ((y >= lo) & (y <= hi)) ? dout : 0.0f;
}

QK_LOOP (static, grad_sums,
         (const float *restrict dout, const float *restrict acc, size_t n,
          size_t period, const struct qk_conv_mask *mask, double *restrict sg,
          double *restrict sgu),
         (dout, acc, n, period, mask, sg, sgu))
{
  const float *restrict a = mask->a, *restrict b = mask->b;
  const float lo = mask->lo, hi = mask->hi;

  FOR_PIECES (i, len, n, period)
  {
    const float *restrict u = acc + i, *restrict dy = dout + i;

    QK_SIMD
    for (size_t j = 0; j < len; j++) {
      const double g = masked (dy[j], u[j] * a[j] + b[j], lo, hi);

      sg[j] += g;
      sgu[j] += g * (double) u[j];
    }
  }
}

void
qk_rows_grad_sums (const float *dout, const float *acc, size_t n,
                   size_t period, const struct qk_conv_mask *m, double *sg,
                   double *sgu)
{
  const struct level_loops here = level_loops ();
  size_t done = 0;

  if (here.grad_sums && period % 8 == 0)
    done = here.grad_sums (dout, acc, n, period, m, sg, sgu);
  grad_sums (dout + done, acc + done, n - done, period, m, sg, sgu);
}

QK_LOOP (, qk_rows_grad,
         (const float *restrict dout, const float *acc, size_t n,
          size_t period, const struct qk_conv_mask *mask,
          const float *restrict a1, const float *restrict a2,
          const float *restrict a3, float *d),
         (dout, acc, n, period, mask, a1, a2, a3, d))
{
  const float *restrict a = mask->a, *restrict b = mask->b;
  const float lo = mask->lo, hi = mask->hi;

  FOR_PIECES (i, len, n, period)
  {
    const float *u = acc + i, *restrict dy = dout + i;
    float *o = d + i;

    QK_SIMD
    for (size_t j = 0; j < len; j++) {
      const float g = masked (dy[j], u[j] * a[j] + b[j], lo, hi);

      o[j] = a1[j] * g + (a2[j] * u[j] + a3[j]);
    }
  }
}

/* ---- depthwise ---------------------------------------------------------*/

QK_LOOP (static, depthwise_3x3,
         (const float *const *row, const float *restrict w, int64_t c,
          int64_t q, int64_t step, int64_t dil, float *restrict out),
         (row, w, c, q, step, dil, out))
{
  const int64_t d1 = dil * c, d2 = 2 * dil * c;

  for (int64_t i = 0; i < q; i++, out += c) {
    const float *restrict x0 = row[0] + i * step * c;
    const float *restrict x1 = row[1] + i * step * c;
    const float *restrict x2 = row[2] + i * step * c;

    QK_SIMD
    for (int64_t j = 0; j < c; j++)
      out[j] = x0[j] * w[j] + x0[j + d1] * w[j + c] + x0[j + d2] * w[j + 2 * c]
               + x1[j] * w[j + 3 * c] + x1[j + d1] * w[j + 4 * c]
               + x1[j + d2] * w[j + 5 * c] + x2[j] * w[j + 6 * c]
               + x2[j + d1] * w[j + 7 * c] + x2[j + d2] * w[j + 8 * c];
  }
}

QK_LOOP (static, depthwise_any,
         (const float *const *row, const float *restrict w, int r, int s,
          int64_t c, int64_t q, int64_t step, int64_t dil,
          float *restrict out),
         (row, w, r, s, c, q, step, dil, out))
{
  memset (out, 0, (size_t) (q * c) * sizeof *out);
  for (int64_t i = 0; i < q; i++, out += c)
    for (int a = 0; a < r; a++)
      for (int b = 0; b < s; b++) {
        const float *restrict x = row[a] + (i * step + b * dil) * c;
        const float *restrict f = w + (a * s + b) * c;

        QK_SIMD
        for (int64_t j = 0; j < c; j++)
          out[j] += x[j] * f[j];
      }
}

void
qk_rows_depthwise (const float *const *row, const float *w, int r, int s,
                   int64_t c, int64_t q, int64_t step, int64_t dil, float *out)
{
  if (r == 3 && s == 3)
    depthwise_3x3 (row, w, c, q, step, dil, out);
  else
    depthwise_any (row, w, r, s, c, q, step, dil, out);
}

QK_LOOP (static, depthwise_dw,
         (const float *restrict x, float *restrict dw, int64_t c,
          const float *restrict d),
         (x, dw, c, d))
{
  QK_SIMD
  for (int64_t j = 0; j < c; j++)
    dw[j] += d[j] * x[j];
}

QK_LOOP (static, depthwise_dw_dx,
         (const float *restrict x, float *restrict dx, const float *restrict w,
          float *restrict dw, int64_t c, const float *restrict d),
         (x, dx, w, dw, c, d))
{
  QK_SIMD
  for (int64_t j = 0; j < c; j++) {
    dw[j] += d[j] * x[j];
    dx[j] += d[j] * w[j];
  }
}

/* 16 channels at a time; compilers without such registers take smaller
 * ones. */
enum { VEC = 16 };
typedef float vec
  __attribute__ ((vector_size (4 * VEC), aligned (4), may_alias));
typedef float reg __attribute__ ((vector_size (4 * VEC)));

static inline const vec *
vec_at (const float *x)
{
  return (const vec *) (const void *) x;
}

/* 3x3, stride 1, channels J to J + VEC of one output line: weights and their
 * gradient stay in registers, and so do the sums of the two columns of dx
 * that the next window touches as well. */
QK_LOOP (static, depthwise_3x3_grad,
         (const float *const *row, float *const *drow, const float *w,
          float *dw, int64_t c, int64_t q, const float *d, int64_t j),
         (row, drow, w, dw, c, q, d, j))
{
  reg k[9], g[9], left[3], middle[3];

#pragma GCC unroll 9
  for (int t = 0; t < 9; t++) {
    k[t] = *vec_at (w + t * c + j);
    g[t] = *vec_at (dw + t * c + j);
  }
#pragma GCC unroll 3
  for (int a = 0; a < 3; a++) {
    left[a] = *vec_at (drow[a] + j);
    middle[a] = *vec_at (drow[a] + c + j);
  }
  for (int64_t i = 0; i < q; i++) {
    const int64_t at = i * c + j;
    const reg y = *vec_at (d + at);

#pragma GCC unroll 3
    for (int a = 0; a < 3; a++) {
      const float *x = row[a] + at;
      float *dx = drow[a] + at;

      g[3 * a] += y * *vec_at (x);
      g[3 * a + 1] += y * *vec_at (x + c);
      g[3 * a + 2] += y * *vec_at (x + 2 * c);
      *(vec *) (void *) dx = left[a] + y * k[3 * a];
      left[a] = middle[a] + y * k[3 * a + 1];
      middle[a] = *vec_at (dx + 2 * c) + y * k[3 * a + 2];
    }
  }
#pragma GCC unroll 3
  for (int a = 0; a < 3; a++) {
    *(vec *) (void *) (drow[a] + q * c + j) = left[a];
    *(vec *) (void *) (drow[a] + (q + 1) * c + j) = middle[a];
  }
#pragma GCC unroll 9
  for (int t = 0; t < 9; t++)
    *(vec *) (void *) (dw + t * c + j) = g[t];
}

void
qk_rows_depthwise_grad (const float *const *row, float *const *drow,
                        const float *w, float *dw, int r, int s, int64_t c,
                        int64_t q, int64_t step, int64_t dil, const float *d)
{
  const struct level_loops here = level_loops ();
  const bool small = drow && r == 3 && s == 3 && step == 1 && dil == 1;

  if (small && c % 8 == 0 && here.depthwise_3x3_grad) {
    here.depthwise_3x3_grad (row, drow, w, dw, c, q, d);
    return;
  }
  if (small && c % VEC == 0) {
    for (int64_t j = 0; j < c; j += VEC)
      depthwise_3x3_grad (row, drow, w, dw, c, q, d, j);
    return;
  }
  for (int64_t i = 0; i < q; i++, d += c)
    for (int a = 0; a < r; a++)
      for (int b = 0; b < s; b++) {
        const int64_t at = (i * step + b * dil) * c, f = (a * s + b) * c;

        if (drow)
          depthwise_dw_dx (row[a] + at, drow[a] + at, w + f, dw + f, c, d);
        else
          depthwise_dw (row[a] + at, dw + f, c, d);
      }
}
