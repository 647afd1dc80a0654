/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wrap.c: element-wise passes around nodes that see only float, in blocks
 * spread over the threads. */
#include "config.h"

#include <qatkit/cpu.h>
#include <qatkit/numeric.h>
#include <qatkit/quantizer.h>

#include "exec/exec-priv.h"

/* Elements of a block; a single one is not worth starting threads for. */
#define BLOCK 4096

static inline size_t
block_size (size_t n, size_t start)
{
  return n - start < BLOCK ? n - start : BLOCK;
}

QK_LOOP (static, widen_block,
         (const uint8_t *restrict q, size_t n, float scale, int32_t zp,
          float *restrict out),
         (q, n, scale, zp, out))
{
  for (size_t i = 0; i < n; i++)
    out[i] = qk_dequantize (q[i], scale, zp);
}

QK_LOOP (static, widen_block_u16,
         (const uint16_t *restrict q, size_t n, float scale, int32_t zp,
          float *restrict out),
         (q, n, scale, zp, out))
{
  for (size_t i = 0; i < n; i++)
    out[i] = qk_dequantize (q[i], scale, zp);
}

void
qk_widen (const struct qk_tensor *in, float *out, int threads)
{
  const size_t n = (size_t) qk_shape_count (&in->shape);
  const bool bytes = in->dtype == QK_U8;
  const uint8_t *q8 = in->data;
  const uint16_t *q16 = in->data;

#pragma omp parallel for schedule(static) num_threads(threads) if (n > BLOCK)
  for (size_t b = 0; b < n; b += BLOCK)
    if (bytes)
      widen_block (q8 + b, block_size (n, b), in->q.scale, in->q.zero_point,
                   out + b);
    else
      widen_block_u16 (q16 + b, block_size (n, b), in->q.scale,
                       in->q.zero_point, out + b);
}

QK_LOOP (static, ste_block,
         (const struct qk_qparams *q, const float *restrict x, size_t n,
          uint8_t *restrict mask),
         (q, x, n, mask))
{
  const float inv = 1.0f / q->scale;
  const int32_t zp = q->zero_point, qmin = q->qmin, qmax = q->qmax;

  for (size_t i = 0; i < n; i++)
    mask[i] = qk_ste_mask (x[i], inv, zp, qmin, qmax) != 0.0f;
}

void
qk_ste_bytes (const struct qk_qparams *q, const float *x, size_t n,
              uint8_t *mask, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads) if (n > BLOCK)
  for (size_t b = 0; b < n; b += BLOCK)
    ste_block (q, x + b, block_size (n, b), mask + b);
}

QK_LOOP (static, mask_block,
         (const uint8_t *restrict mask, const float *dy, float *dx, size_t n),
         (mask, dy, dx, n))
{
#pragma omp simd
  for (size_t i = 0; i < n; i++)
    dx[i] = mask[i] ? dy[i] : 0.0f;
}

void
qk_apply_mask (const uint8_t *mask, const float *dy, float *dx, size_t n,
               int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads) if (n > BLOCK)
  for (size_t b = 0; b < n; b += BLOCK)
    mask_block (mask + b, dy + b, dx + b, block_size (n, b));
}

QK_LOOP (static, add_block,
         (float *restrict sum, const float *restrict x, size_t n), (sum, x, n))
{
  for (size_t i = 0; i < n; i++)
    sum[i] += x[i];
}

void
qk_add_into (float *sum, const float *x, size_t n, int threads)
{
#pragma omp parallel for schedule(static) num_threads(threads) if (n > BLOCK)
  for (size_t b = 0; b < n; b += BLOCK)
    add_block (sum + b, x + b, block_size (n, b));
}
