/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wrap.c: element-wise passes around nodes that see only float. */
#include "config.h"

#include <qatkit/numeric.h>
#include <qatkit/quantizer.h>

#include "exec/exec-priv.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 4096

void
qk_widen (const struct qk_tensor *in, float *out, int threads)
{
  const int64_t n = qk_shape_count (&in->shape);
  const uint8_t *q = in->data;
  float table[256];
  int64_t i;

  for (i = 0; i < 256; i++)
    table[i] = qk_dequantize ((int32_t) i, in->q.scale, in->q.zero_point);
#pragma omp parallel for schedule(static)                                     \
  num_threads(threads) if (n >= PARALLEL_MIN)
  for (i = 0; i < n; i++)
    out[i] = table[q[i]];
}

void
qk_ste_bytes (const struct qk_qparams *q, const float *x, size_t n,
              uint8_t *mask, int threads)
{
  const float inv = 1.0f / q->scale;
  size_t i;

#pragma omp parallel for schedule(static)                                     \
  num_threads(threads) if (n >= PARALLEL_MIN)
  for (i = 0; i < n; i++)
    mask[i] = qk_ste_mask (x[i], inv, q->zero_point, q->qmin, q->qmax) != 0;
}

void
qk_apply_mask (const uint8_t *mask, const float *dy, float *dx, size_t n,
               int threads)
{
  size_t i;

#pragma omp parallel for schedule(static)                                     \
  num_threads(threads) if (n >= PARALLEL_MIN)
  for (i = 0; i < n; i++)
    dx[i] = mask[i] ? dy[i] : 0.0f;
}

void
qk_add_into (float *sum, const float *x, size_t n, int threads)
{
  size_t i;

#pragma omp parallel for schedule(static)                                     \
  num_threads(threads) if (n >= PARALLEL_MIN)
  for (i = 0; i < n; i++)
    sum[i] += x[i];
}
