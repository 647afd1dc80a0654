/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pointwise.c: the reference backend's operations without weights. */
#include "config.h"

#include "reference.h"

#include <string.h>

#include <qatkit/numeric.h>

/* The element of a sample of S that element I of a sample of OUT is made of:
 * along axes of size 1 it is always the first. */
int64_t
reference_source (const struct qk_shape *s, const struct qk_shape *out,
                  int64_t i)
{
  int64_t at = 0, step = 1;

  for (int d = 1; d < out->ndim; d++) { /* from the last axis on */
    const int64_t size = out->dims[out->ndim - d];

    if (d < s->ndim) {
      const int64_t own = s->dims[s->ndim - d];

      at += own == 1 ? 0 : i % size * step;
      step *= own;
    }
    i /= size;
  }
  return at;
}

/* y = f (a, b), both broadcast to y's shape */
void
reference_binary (const struct reference_kernel *kn, int64_t n,
                  const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  const float inv = 1.0f / op->out_q.scale;
  const int64_t size = kn->g.k; /* elements of a sample */
  const int64_t size_a = qk_shape_count (&kn->in[0]) / kn->g.batch;
  const int64_t size_b = qk_shape_count (&kn->in[1]) / kn->g.batch;
#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < n * size; i++) {
    const int64_t sample = i / size, e = i % size;
    const int32_t qa = reference_get (
      &op->in_q[0], in[0],
      sample * size_a + reference_source (&kn->in[0], &kn->out, e));
    const int32_t qb = reference_get (
      &op->in_q[1], in[1],
      sample * size_b + reference_source (&kn->in[1], &kn->out, e));

    reference_put (&op->out_q, out, i,
                   qk_binary_quantized (op->function, qa, &op->in_q[0], qb,
                                        &op->in_q[1], inv,
                                        op->out_q.zero_point, op->lo, op->hi));
  }
}

void
reference_table (const struct reference_kernel *kn, int64_t n,
                 const void *const *in, void *out)
{
  const int64_t count = n * kn->g.k;
  const uint8_t *x = in[0];
  uint8_t *y = out;

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < count; i++)
    y[i] = kn->op.table[x[i]];
}

/* COUNT numbers from FROM of X on, which lie on the grid of Q, to those of OUT
 * from TO on, on the output's */
static void
regrid (const struct qk_op *op, const struct qk_qparams *q, const void *x,
        int64_t from, int64_t count, void *out, int64_t to)
{
  const float inv = 1.0f / op->out_q.scale;

  for (int64_t i = 0; i < count; i++)
    reference_put (&op->out_q, out, to + i,
                   qk_regrid (reference_get (q, x, from + i), q, inv,
                              op->out_q.zero_point, op->lo, op->hi));
}

/* x_i (N,…,C_i,…), y (N,…,sum C_i,…); channels: all from that axis on */
void
reference_concat (const struct reference_kernel *kn, int64_t n,
                  const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  int64_t width = 0, rows;

  for (int i = 0; i < op->n_in; i++)
    width += kn->channels[i];
  rows = n * kn->g.k / width;
#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t row = 0; row < rows; row++) {
    int64_t at = row * width;

    for (int i = 0; i < op->n_in; i++) {
      const int64_t c = kn->channels[i];

      regrid (op, &op->in_q[i], in[i], row * c, c, out, at);
      at += c;
    }
  }
}

/* The part of a pooling window that lies inside the sample. */
struct window {
  int64_t row0, col0; /* of tap (0,0); may be outside */
  int r0, r1, s0, s1; /* taps inside: r0 <= r < r1, s0 <= s < s1 */
  int32_t count;      /* elements an average divides by */
};

/* With count_pad, positions in the padding count, but not those beyond it
 * (which ceil mode makes): as PyTorch. */
static struct window
pool_window (const struct reference_kernel *kn, int64_t p, int64_t q)
{
  const struct qk_op *op = &kn->op;
  struct window w = { .row0 = p * op->stride_h - op->pad_top,
                      .col0 = q * op->stride_w - op->pad_left };
  int first, rows, cols;

  int8op_taps (w.row0, op->kernel_h, op->dilation_h, kn->g.h, &w.r0, &w.r1);
  int8op_taps (w.col0, op->kernel_w, op->dilation_w, kn->g.w, &w.s0, &w.s1);
  w.count = (w.r1 - w.r0) * (w.s1 - w.s0);
  if (op->count_pad) {
    int8op_taps (w.row0 + op->pad_top, op->kernel_h, op->dilation_h,
                 op->pad_top + kn->g.h + op->pad_bottom, &first, &rows);
    int8op_taps (w.col0 + op->pad_left, op->kernel_w, op->dilation_w,
                 op->pad_left + kn->g.w + op->pad_right, &first, &cols);
    w.count = rows * cols;
  }
  return w;
}

/* The pixel of a sample under tap (R,S): its first element. */
static int64_t
tap_element (const struct reference_kernel *kn, const struct window *w, int r,
             int s)
{
  const int64_t row = w->row0 + (int64_t) r * kn->op.dilation_h;
  const int64_t col = w->col0 + (int64_t) s * kn->op.dilation_w;

  return (row * kn->g.w + col) * kn->g.c;
}

/* x (N,H,W,C), y (N,P,Q,C) */
void
reference_maxpool2d (const struct reference_kernel *kn, int64_t n,
                     const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  const struct int8op_geometry *g = &kn->g;
  const int64_t pixels = n * g->p * g->q;

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < pixels; i++) {
    const int64_t x = i / (g->p * g->q) * g->h * g->w * g->c;
    const struct window w = pool_window (kn, i / g->q % g->p, i % g->q);

    for (int64_t c = 0; c < g->c; c++) {
      int32_t best = 0;

      for (int r = w.r0; r < w.r1; r++)
        for (int s = w.s0; s < w.s1; s++) {
          const int32_t v = reference_get (&op->in_q[0], in[0],
                                           x + tap_element (kn, &w, r, s) + c);

          best = v > best ? v : best;
        }
      best = best > op->lo ? best : op->lo;
      reference_put (&op->out_q, out, i * g->c + c,
                     best < op->hi ? best : op->hi);
    }
  }
}

/* x (N,H,W,C), y (N,P,Q,C) */
void
reference_avgpool2d (const struct reference_kernel *kn, int64_t n,
                     const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  const struct int8op_geometry *g = &kn->g;
  const int32_t z = op->in_q[0].zero_point;
  const int64_t pixels = n * g->p * g->q;

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < pixels; i++) {
    const uint8_t *x
      = (const uint8_t *) in[0] + i / (g->p * g->q) * g->h * g->w * g->c;
    const struct window w = pool_window (kn, i / g->q % g->p, i % g->q);
    uint8_t *y = (uint8_t *) out + i * g->c;

    for (int64_t c = 0; c < g->c; c++) {
      int32_t sum = 0;

      for (int r = w.r0; r < w.r1; r++)
        for (int s = w.s0; s < w.s1; s++)
          sum += x[tap_element (kn, &w, r, s) + c] - z;
      y[c] = (uint8_t) qk_mean_quantized (sum, w.count, z, op->lo, op->hi);
    }
  }
}

void
reference_clamp (const struct reference_kernel *kn, int64_t n,
                 const void *const *in, void *out)
{
  const int32_t lo = kn->op.lo, hi = kn->op.hi;
  const struct qk_qparams *grid = &kn->op.in_q[0];
  const int64_t count = n * kn->g.k;

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < count; i++) {
    const int32_t x = reference_get (grid, in[0], i), v = x > lo ? x : lo;

    reference_put (grid, out, i, v < hi ? v : hi);
  }
}

void
reference_reshape (const struct reference_kernel *kn, int64_t n,
                   const void *const *in, void *out)
{
  if (in[0] != out)
    memcpy (out, in[0],
            (size_t) (n * kn->g.k)
              * qk_dtype_size (qk_grid_dtype (&kn->op.in_q[0])));
}

void
reference_quantize (const struct reference_kernel *kn, int64_t n,
                    const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  const float inv = 1.0f / op->out_q.scale;
  const int64_t count = n * kn->g.k;
  const float *x = in[0];

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < count; i++)
    reference_put (
      &op->out_q, out, i,
      qk_quantize (x[i], inv, op->out_q.zero_point, op->lo, op->hi));
}

void
reference_dequantize (const struct reference_kernel *kn, int64_t n,
                      const void *const *in, void *out)
{
  const struct qk_qparams *q = &kn->op.in_q[0];
  const int64_t count = n * kn->g.k;
  float *y = out;

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < count; i++)
    y[i]
      = qk_dequantize (reference_get (q, in[0], i), q->scale, q->zero_point);
}

void
reference_requantize (const struct reference_kernel *kn, int64_t n,
                      const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  const int64_t count = n * kn->g.k;

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < count; i++)
    regrid (op, &op->in_q[0], in[0], i, 1, out, i);
}

void
reference_prelu (const struct reference_kernel *kn, int64_t n,
                 const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  const float above = qk_multiplier (op->in_q[0].scale, 1.0f, op->out_q.scale);
  const int64_t count = n * kn->g.k;
  const uint8_t *x = in[0];
  uint8_t *y = out;

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < count; i++)
    y[i] = (uint8_t) qk_prelu_quantized (x[i], op->in_q[0].zero_point, above,
                                         op->multiplier[i % op->out_channels],
                                         op->out_q.zero_point, op->lo, op->hi);
}

/* Element I of those of a sample of S whose axes have the bit ALONG. */
static int64_t
element_along (const struct qk_shape *s, int axes, bool along, int64_t i)
{
  int64_t at = 0, step = 1;

  for (int d = s->ndim - 1; d >= 1; d--) {
    if (((axes >> d & 1) != 0) == along) {
      at += i % s->dims[d] * step;
      i /= s->dims[d];
    }
    step *= s->dims[d];
  }
  return at;
}

/* COUNT elements of a sample from X on become one. */
static uint8_t
reduce_one (const struct reference_kernel *kn, const uint8_t *x, int64_t count)
{
  const struct qk_op *op = &kn->op;
  const int32_t z = op->in_q[0].zero_point;
  int32_t sum = 0, most = op->lo, least = op->hi;

  for (int64_t r = 0; r < count; r++) {
    const int32_t q = x[element_along (&kn->in[0], op->along, true, r)];

    sum += q - z;
    most = q > most ? q : most;
    least = q < least ? q : least;
  }
  if (op->function == QK_MEAN)
    return (uint8_t) qk_mean_quantized (sum, (int32_t) count, z, op->lo,
                                        op->hi);
  if (op->function == QK_SUM)
    return (uint8_t) qk_requantize (
      sum, qk_multiplier (op->in_q[0].scale, 1.0f, op->out_q.scale),
      op->out_q.zero_point, op->lo, op->hi);
  most = most < op->hi ? most : op->hi;
  least = least > op->lo ? least : op->lo;
  return (uint8_t) (op->function == QK_LARGEST ? most : least);
}

void
reference_reduce (const struct reference_kernel *kn, int64_t n,
                  const void *const *in, void *out)
{
  const int64_t outputs = kn->g.k, size = kn->g.c;
  const uint8_t *x = in[0];
  uint8_t *y = out;

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < n * outputs; i++)
    y[i] = reduce_one (
      kn,
      x + i / outputs * size
        + element_along (&kn->in[0], kn->op.along, false, i % outputs),
      size / outputs);
}
