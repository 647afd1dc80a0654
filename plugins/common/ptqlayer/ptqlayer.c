/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ptqlayer.c: what a layer takes and gives, from calibration samples. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "gemm/gemm.h"
#include "multiversion.h"
#include "patches/patches.h"
#include "ptqlayer.h"

/* ---- products ------------------------------------------------------------ */

static inline float
clamped (float y, float lo, float hi)
{
  y = y > lo ? y : lo;
  return y < hi ? y : hi;
}

/* Rows of groups of a handful of weights each: not worth a library call. */
static void
small_product (const struct ptqlayer *l, const float *x, int64_t rows,
               const float *w, float *y)
{
  const int64_t kg = l->channels / l->groups, depth = l->depth;

#ifdef _OPENMP
#pragma omp parallel for num_threads(l->threads) schedule(static)
#endif
  for (int64_t i = 0; i < rows; i++)
    for (int64_t k = 0; k < l->channels; k++) {
      const float *a = x + (i * l->groups + k / kg) * depth;
      float sum = 0.0f;

      for (int64_t j = 0; j < depth; j++)
        sum += a[j] * w[k * depth + j];
      y[i * l->channels + k] = sum;
    }
}

/* Add BIAS to a row, and clamp it. */
QK_LOOP (static, finish_row,
         (float *restrict y, int64_t n, const float *restrict bias, float lo,
          float hi),
         (y, n, bias, lo, hi))
{
  for (int64_t k = 0; k < n; k++)
    y[k] = clamped (y[k] + bias[k], lo, hi);
}

void
ptqlayer_product (const struct ptqlayer *l, const float *x, int64_t rows,
                  const float *w, bool clamp, float *y)
{
  if (l->groups == 1)
    qk_sgemm_threaded (l->float_backend, l->threads, false, true, rows,
                       l->channels, l->depth, x, l->depth, w, l->depth, 0.0f,
                       y, l->channels);
  else
    small_product (l, x, rows, w, y);
  for (int64_t i = 0; i < rows; i++)
    finish_row (y + i * l->channels, l->channels, l->bias,
                clamp ? l->lo : -INFINITY, clamp ? l->hi : INFINITY);
}

/* ---- windows ------------------------------------------------------------- */

/* Taking windows of a layer's inputs in both networks. */
struct sampling {
  const struct qk_op *op;
  int64_t wanted, per_batch, n, size;
  float *real, *quantized; /* wanted x size */
  struct qk_rng rng;
};

static int
take_windows (void *cookie, const struct qk_tensor *real,
              const struct qk_tensor *quantized)
{
  struct sampling *s = cookie;
  const int64_t positions = patches_count (s->op, real);
  const int64_t samples = real->shape.dims[0];

  for (int64_t i = 0; i < s->per_batch && s->n < s->wanted; i++, s->n++) {
    const int64_t at
      = (int64_t) qk_rng_below (&s->rng, (uint64_t) (samples * positions));

    patches_copy (s->op, real, at / positions, at % positions,
                  s->real + s->n * s->size);
    patches_copy (s->op, quantized, at / positions, at % positions,
                  s->quantized + s->n * s->size);
  }
  return 0;
}

/* ---- the layer ------------------------------------------------------------ */

static void
take_grid (const struct qk_quantizer *qz, struct ptqlayer *l)
{
  const struct qk_qparams *grid = qk_quantizer_qparams (qz);
  const bool one = qk_quantizer_channels (qz) == 1;

  for (int64_t k = 0; k < l->channels; k++)
    l->scale[k] = grid[one ? 0 : k].scale;
  l->qmin = (float) grid[0].qmin;
  l->qmax = (float) grid[0].qmax;
}

/* The windows, the outputs wanted and the weights. */
static int
fill (struct qk_ptq *p, int node, int64_t batches, struct sampling *s,
      struct ptqlayer *l)
{
  int r;

  s->per_batch = (s->wanted + batches - 1) / batches;
  qk_rng_seed (&s->rng, qk_ptq_seed (p), (uint64_t) node);
  if ((r = qk_ptq_inputs (p, node, batches, take_windows, s)) < 0)
    return r;
  if (s->n < 1)
    return qk_error (-ENODATA, "no calibration samples");
  l->n = s->n;
  if ((r = qk_ptq_real_weight (p, node, l->w, l->bias)) < 0)
    return r;
  ptqlayer_product (l, s->real, l->n, l->w, true, l->target);
  return qk_ptq_get_weight (p, node, l->w, l->bias);
}

int
ptqlayer_open (struct qk_ptq *p, int node, int64_t wanted, int64_t batches,
               struct ptqlayer *l)
{
  struct sampling s = { .wanted = wanted };
  struct qk_ptq_node info;
  size_t k, rows;
  int r;

  memset (l, 0, sizeof *l);
  if ((r = qk_ptq_op (p, node, &s.op)) < 0)
    return r;
  qk_ptq_node (p, node, &info);
  l->channels = info.channels;
  l->depth = info.per_channel;
  l->groups = info.groups;
  l->lo = info.lo;
  l->hi = info.hi;
  l->threads = qk_ptq_threads (p);
  l->float_backend = qk_ptq_float_backend (p);
  s.size = patches_size (s.op);
  k = (size_t) l->channels;
  rows = (size_t) (wanted * s.size);
  l->memory = qk_alloc ((rows + k * (size_t) (wanted + l->depth + 2))
                        * sizeof (float));
  s.real = qk_alloc (rows * sizeof (float));
  if (l->memory == NULL || s.real == NULL) {
    r = qk_oom ("%lld windows", (long long) wanted);
  } else {
    l->x = s.quantized = l->memory;
    l->target = l->x + rows;
    l->w = l->target + k * (size_t) wanted;
    l->bias = l->w + k * (size_t) l->depth;
    l->scale = l->bias + k;
    take_grid (qk_ptq_weight_quantizer (p, node), l);
    r = fill (p, node, batches > 0 ? batches : 1, &s, l);
  }
  qk_free (s.real);
  if (r < 0)
    ptqlayer_close (l);
  return r;
}

void
ptqlayer_close (struct ptqlayer *l)
{
  qk_free (l->memory);
  memset (l, 0, sizeof *l);
}

int
ptqlayer_fits (struct qk_ptq *p, int node, const float *w, const float *q,
               int64_t n, bool *fits)
{
  int8_t *i8 = qk_alloc ((size_t) n);
  int r;

  if (i8 == NULL)
    return qk_oom ("%lld weights", (long long) n);
  r = qk_quantizer_forward_i8 (qk_ptq_weight_quantizer (p, node), w,
                               (size_t) n, i8);
  *fits = true;
  for (int64_t i = 0; r == 0 && i < n; i++)
    *fits = *fits && (float) i8[i] == q[i];
  qk_free (i8);
  return r;
}
