/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* loops.c: ranges, quantization and the straight-through estimator, in
 * blocks spread over the threads. */
#include "config.h"

#include <math.h>

#include "qatkit/cpu.h"
#include "qatkit/numeric.h"
#include "qatkit/observer.h"
#include "qatkit/quantizer.h"
#include "quant/loops-priv.h"

#ifdef _OPENMP
#define LOOP_PRAGMA(x) _Pragma (#x)
#else
#define LOOP_PRAGMA(x)
#endif

/* Elements of a block: 64 KiB of floats; the blocks of large tensors do not
 * depend on the threads. */
#define LOOP_BLOCK 16384

/* Up to so many elements are done without entering a parallel region: even
 * with one thread a region costs microseconds, and there may be a call for
 * each of a thousand channels. */
#define LOOP_SMALL (4 * LOOP_BLOCK)

#define LOOP_LANES 16

static inline size_t
loop_block_size (size_t n, size_t start)
{
  return n - start < LOOP_BLOCK ? n - start : LOOP_BLOCK;
}

/* The loop runs in lanes, since a compiler may not reorder a minimum of
 * floats by itself.  *check becomes NaN when there is a NaN or an infinity: 0
 * times either. */
QK_LOOP (static, loop_range_block,
         (const float *x, size_t n, float *min, float *max, float *check),
         (x, n, min, max, check))
{
  float lo[LOOP_LANES], hi[LOOP_LANES], sum[LOOP_LANES];
  size_t i = 0;

  for (int j = 0; j < LOOP_LANES; j++) {
    lo[j] = INFINITY;
    hi[j] = -INFINITY;
    sum[j] = 0.0f;
  }
  for (; i + LOOP_LANES <= n; i += LOOP_LANES) {
    LOOP_PRAGMA (omp simd)
    for (int j = 0; j < LOOP_LANES; j++) {
      const float v = x[i + (size_t) j];

      lo[j] = v < lo[j] ? v : lo[j];
      hi[j] = v > hi[j] ? v : hi[j];
      sum[j] += v * 0.0f;
    }
  }
  for (int j = 0; i < n; i++, j++) {
    lo[j] = x[i] < lo[j] ? x[i] : lo[j];
    hi[j] = x[i] > hi[j] ? x[i] : hi[j];
    sum[j] += x[i] * 0.0f;
  }
  *min = INFINITY;
  *max = -INFINITY;
  *check = 0.0f;
  for (int j = 0; j < LOOP_LANES; j++) {
    *min = lo[j] < *min ? lo[j] : *min;
    *max = hi[j] > *max ? hi[j] : *max;
    *check += sum[j];
  }
}

/* The blocks of a large X; returns whether there is a NaN or an infinity. */
static int
loop_range_blocks (const float *x, size_t n, float *min, float *max)
{
  const size_t blocks = (n + LOOP_BLOCK - 1) / LOOP_BLOCK;
  float lo = INFINITY, hi = -INFINITY;
  int bad = 0;

  LOOP_PRAGMA (omp parallel for schedule (static) reduction (min : lo)
                 reduction (max : hi) reduction (| : bad))
  for (size_t b = 0; b < blocks; b++) {
    const size_t start = b * LOOP_BLOCK;
    float l, h, check;

    loop_range_block (x + start, loop_block_size (n, start), &l, &h, &check);
    lo = l < lo ? l : lo;
    hi = h > hi ? h : hi;
    bad |= check != 0.0f;
  }
  *min = lo;
  *max = hi;
  return bad;
}

int
qk_range_find (const float *x, size_t n, float *min, float *max)
{
  float lo, hi, check;
  int bad;

  if (n <= LOOP_SMALL) {
    loop_range_block (x, n, &lo, &hi, &check);
    bad = check != 0.0f;
  } else
    bad = loop_range_blocks (x, n, &lo, &hi);
  /* -0 or 0 as the smallest would depend on the order */
  *min = lo + 0.0f;
  *max = hi + 0.0f;
  if (!bad)
    return 0;
  for (size_t i = 0; i < n; i++)
    if (isnan (x[i]))
      *min = NAN;
  return -EDOM;
}

QK_LOOP (static, loop_u8_block,
         (const float *restrict x, size_t n, float inv, int32_t zp, int32_t lo,
          int32_t hi, uint8_t *restrict out),
         (x, n, inv, zp, lo, hi, out))
{
  LOOP_PRAGMA (omp simd)
  for (size_t i = 0; i < n; i++)
    out[i] = (uint8_t) qk_quantize (x[i], inv, zp, lo, hi);
}

QK_LOOP (static, loop_i8_block,
         (const float *restrict x, size_t n, float inv, int32_t zp, int32_t lo,
          int32_t hi, int8_t *restrict out),
         (x, n, inv, zp, lo, hi, out))
{
  LOOP_PRAGMA (omp simd)
  for (size_t i = 0; i < n; i++)
    out[i] = (int8_t) qk_quantize (x[i], inv, zp, lo, hi);
}

void
qk_loop_quantize_u8 (const float *x, size_t n, const struct qk_qparams *q,
                     uint8_t *out)
{
  const size_t blocks = (n + LOOP_BLOCK - 1) / LOOP_BLOCK;
  const float inv = 1.0f / q->scale;

  if (n <= LOOP_SMALL) {
    loop_u8_block (x, n, inv, q->zero_point, q->qmin, q->qmax, out);
    return;
  }
  LOOP_PRAGMA (omp parallel for schedule (static))
  for (size_t b = 0; b < blocks; b++) {
    const size_t start = b * LOOP_BLOCK;

    loop_u8_block (x + start, loop_block_size (n, start), inv, q->zero_point,
                   q->qmin, q->qmax, out + start);
  }
}

void
qk_loop_quantize_i8 (const float *x, size_t n, const struct qk_qparams *q,
                     int8_t *out)
{
  const size_t blocks = (n + LOOP_BLOCK - 1) / LOOP_BLOCK;
  const float inv = 1.0f / q->scale;

  if (n <= LOOP_SMALL) {
    loop_i8_block (x, n, inv, q->zero_point, q->qmin, q->qmax, out);
    return;
  }
  LOOP_PRAGMA (omp parallel for schedule (static))
  for (size_t b = 0; b < blocks; b++) {
    const size_t start = b * LOOP_BLOCK;

    loop_i8_block (x + start, loop_block_size (n, start), inv, q->zero_point,
                   q->qmin, q->qmax, out + start);
  }
}

/* No restrict: out may be x. */
QK_LOOP (static, loop_grid_block,
         (const float *x, size_t n, const struct qk_qparams *q, float *out),
         (x, n, q, out))
{
  const float scale = q->scale, inv = 1.0f / scale;
  const int32_t zp = q->zero_point, lo = q->qmin, hi = q->qmax;

  LOOP_PRAGMA (omp simd)
  for (size_t i = 0; i < n; i++)
    out[i] = qk_dequantize (qk_quantize (x[i], inv, zp, lo, hi), scale, zp);
}

void
qk_loop_put_on_grid (const float *x, size_t n, const struct qk_qparams *q,
                     float *out)
{
  const size_t blocks = (n + LOOP_BLOCK - 1) / LOOP_BLOCK;

  if (n <= LOOP_SMALL) {
    loop_grid_block (x, n, q, out);
    return;
  }
  LOOP_PRAGMA (omp parallel for schedule (static))
  for (size_t b = 0; b < blocks; b++) {
    const size_t start = b * LOOP_BLOCK;

    loop_grid_block (x + start, loop_block_size (n, start), q, out + start);
  }
}

/* No restrict: dx may be dy. */
QK_LOOP (static, loop_ste_block,
         (const float *x, const float *dy, size_t n, float inv, float lo,
          float hi, float *dx),
         (x, dy, n, inv, lo, hi, dx))
{
  LOOP_PRAGMA (omp simd)
  for (size_t i = 0; i < n; i++) {
    const float r = qk_rne (x[i] * inv);

    dx[i] = ((r >= lo) & (r <= hi)) ? dy[i] : 0.0f;
  }
}

void
qk_loop_ste (const float *x, const float *dy, size_t n,
             const struct qk_qparams *q, float *dx)
{
  const size_t blocks = (n + LOOP_BLOCK - 1) / LOOP_BLOCK;
  const float inv = 1.0f / q->scale;
  const float lo = (float) (q->qmin - q->zero_point);
  const float hi = (float) (q->qmax - q->zero_point);

  if (n <= LOOP_SMALL) {
    loop_ste_block (x, dy, n, inv, lo, hi, dx);
    return;
  }
  LOOP_PRAGMA (omp parallel for schedule (static))
  for (size_t b = 0; b < blocks; b++) {
    const size_t start = b * LOOP_BLOCK;

    loop_ste_block (x + start, dy + start, loop_block_size (n, start), inv, lo,
                    hi, dx + start);
  }
}
