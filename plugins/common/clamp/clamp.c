/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clamp.c: limit numbers to a range, float or on the integer grid. */
#include "config.h"

#include <stdlib.h>

#include <qatkit/numeric.h>

#include "clamp.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 4096

struct clamp {
  const char *name;
  float lo, hi;
};

int
clamp_create (const char *name, float lo, float hi, void **self)
{
  struct clamp *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("%s", name);
  l->name = name;
  l->lo = lo;
  l->hi = hi;
  *self = l;
  return 0;
}

void
clamp_destroy (void *self)
{
  free (self);
}

int
clamp_infer (void *self, const struct qk_shape *in, int n_in,
             struct qk_shape *out)
{
  const struct clamp *l = self;

  if (n_in != 1)
    return qk_error (-EINVAL, "%s: takes 1 input, got %d", l->name, n_in);
  *out = in[0];
  return 0;
}

void
clamp_describe (void *self, struct qk_layer_traits *out)
{
  const struct clamp *l = self;

  out->role = QK_ROLE_CLAMP;
  out->wide = true;
  out->lo = l->lo;
  out->hi = l->hi;
}

int
clamp_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->keep_in = false; /* the output tells what was clamped */
  return 0;
}

static void
forward_f32 (const float *x, float *y, int64_t n, float lo, float hi,
             int threads)
{
  (void) threads;
#pragma omp parallel for simd num_threads(threads)                            \
  schedule(static) if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i++) {
    const float v = x[i] < lo ? lo : x[i];

    y[i] = v > hi ? hi : v;
  }
}

static void
forward_u8 (const uint8_t *x, uint8_t *y, int64_t n, uint8_t lo, uint8_t hi,
            int threads)
{
  (void) threads;
#pragma omp parallel for simd num_threads(threads)                            \
  schedule(static) if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i++) {
    const uint8_t v = x[i] < lo ? lo : x[i];

    y[i] = v > hi ? hi : v;
  }
}

/* The bounds of real numbers; of those on the grid Q (scale 0: none), numbers
 * that lie on it. */
static void
real_bounds (const struct clamp *l, const struct qk_qparams *q, float *lo,
             float *hi)
{
  int32_t qlo, qhi;

  *lo = l->lo;
  *hi = l->hi;
  if (q->scale == 0)
    return;
  qk_clamp_bounds (q, l->lo, l->hi, &qlo, &qhi);
  *lo = qk_dequantize (qlo, q->scale, q->zero_point);
  *hi = qk_dequantize (qhi, q->scale, q->zero_point);
}

int
clamp_forward (void *self, struct qk_layer_io *io)
{
  const struct clamp *l = self;
  const struct qk_tensor *in = &io->in[0];
  struct qk_tensor *out = io->out;
  const int64_t n = qk_shape_count (&in->shape);
  const int threads = io->threads > 1 ? io->threads : 1;

  if (in->dtype == QK_F32 && out->dtype == QK_F32) {
    float lo, hi;

    real_bounds (l, &in->q, &lo, &hi);
    out->q = in->q;
    forward_f32 (in->data, out->data, n, lo, hi, threads);
    return 0;
  }
  if (in->dtype == QK_U8 && out->dtype == QK_U8) {
    int32_t lo, hi;

    qk_clamp_bounds (&in->q, l->lo, l->hi, &lo, &hi);
    out->q = in->q;
    forward_u8 (in->data, out->data, n, (uint8_t) lo, (uint8_t) hi, threads);
    return 0;
  }
  return qk_error (-ENOTSUP, "%s: cannot go from %s to %s", l->name,
                   qk_dtype_name (in->dtype), qk_dtype_name (out->dtype));
}

/* Output integers that were not clamped by this layer: those strictly inside
 * its bounds, and the ends of the grid where the bound lies beyond them. */
static void
passing_integers (const struct clamp *l, const struct qk_qparams *q,
                  int32_t *lo, int32_t *hi)
{
  int32_t blo, bhi;

  qk_clamp_bounds (q, l->lo, l->hi, &blo, &bhi);
  *lo = qk_dequantize (q->qmin, q->scale, q->zero_point) > l->lo ? q->qmin
                                                                 : blo + 1;
  *hi = qk_dequantize (q->qmax, q->scale, q->zero_point) < l->hi ? q->qmax
                                                                 : bhi - 1;
}

/* The real numbers of the output strictly between which gradients pass. */
static void
passing_reals (const struct clamp *l, const struct qk_qparams *q, float *lo,
               float *hi)
{
  int32_t qlo, qhi;

  *lo = l->lo;
  *hi = l->hi;
  if (q->scale == 0)
    return;
  passing_integers (l, q, &qlo, &qhi);
  *lo = qk_dequantize (qlo - 1, q->scale, q->zero_point);
  *hi = qk_dequantize (qhi + 1, q->scale, q->zero_point);
}

int
clamp_backward (void *self, struct qk_layer_io *io)
{
  const struct clamp *l = self;
  const int64_t n = qk_shape_count (&io->dout->shape);
  const int threads = io->threads > 1 ? io->threads : 1;
  const float *dy = io->dout->data;
  float *dx = io->din[0].data;

  (void) threads;
  if (dx == NULL)
    return 0;
  if (io->out->dtype == QK_F32) {
    const float *y = io->out->data;
    float lo, hi;

    passing_reals (l, &io->out->q, &lo, &hi);
#pragma omp parallel for simd num_threads(threads)                            \
  schedule(static) if (n >= PARALLEL_MIN)
    for (int64_t i = 0; i < n; i++)
      dx[i] = y[i] > lo && y[i] < hi ? dy[i] : 0.0f;
  } else {
    const uint8_t *y = io->out->data;
    int32_t lo, hi;

    passing_integers (l, &io->out->q, &lo, &hi);
#pragma omp parallel for simd num_threads(threads)                            \
  schedule(static) if (n >= PARALLEL_MIN)
    for (int64_t i = 0; i < n; i++)
      dx[i] = y[i] >= lo && y[i] <= hi ? dy[i] : 0.0f;
  }
  return 0;
}

int
clamp_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct clamp *l = self;

  op->kind = QK_OP_CLAMP;
  qk_clamp_bounds (&io->in[0].q, l->lo, l->hi, &op->lo, &op->hi);
  return 0;
}
