/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* norm.c: softmax and normalisations of the reference backend. */
#include "config.h"

#include "reference.h"

#include <qatkit/numeric.h>

static uint8_t
on_grid (const struct qk_op *op, float y)
{
  return (uint8_t) qk_quantize (y, 1.0f / op->out_q.scale,
                                op->out_q.zero_point, op->lo, op->hi);
}

/* LENGTH elements, STEP apart, of X and, u8 or f32, of Y from element AT on. */
static void
softmax_row (const struct qk_op *op, const uint8_t *x, int64_t length,
             int64_t step, void *y, int64_t at)
{
  const float scale = op->in_q[0].scale;
  int64_t sum = 0;
  int32_t most = 0;

  for (int64_t i = 0; i < length; i++)
    most = x[i * step] > most ? x[i * step] : most;
  for (int64_t i = 0; i < length; i++)
    sum += qk_softmax_term (most - x[i * step], scale);
  for (int64_t i = 0; i < length; i++) {
    const float real
      = qk_softmax_real (op->function, most - x[i * step], sum, scale);

    if (op->out_q.scale == 0)
      ((float *) y)[at + i * step] = real;
    else
      ((uint8_t *) y)[at + i * step] = on_grid (op, real);
  }
}

/* x, y (N,…): rows along the axis */
void
reference_softmax (const struct reference_kernel *kn, int64_t n,
                   const void *const *in, void *out)
{
  const struct qk_shape *s = &kn->in[0];
  const int64_t length = s->dims[kn->op.axis];
  int64_t step = 1;

  for (int i = kn->op.axis + 1; i < s->ndim; i++)
    step *= s->dims[i];
#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < n * kn->g.k / length; i++) {
    const int64_t at = i / step * step * length + i % step;

    softmax_row (&kn->op, (const uint8_t *) in[0] + at, length, step, out, at);
  }
}

/* ROWS rows of PITCH elements, of each those from channel FIRST on, WIDTH of
 * them: one set of statistics. */
static void
norm_set (const struct qk_op *op, const uint8_t *x, int64_t rows,
          int64_t pitch, int64_t first, int64_t width, uint8_t *y)
{
  const int32_t z = op->in_q[0].zero_point;
  int64_t sum = 0, squares = 0;
  struct qk_norm norm;

  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = first; c < first + width; c++) {
      const int32_t v = x[r * pitch + c] - z;

      sum += v;
      squares += v * v;
    }
  norm = qk_norm_of (rows * width, sum, squares, op->in_q[0].scale, op->eps,
                     op->centered);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = first; c < first + width; c++)
      y[r * pitch + c]
        = on_grid (op, qk_norm_real ((float) (x[r * pitch + c] - z), norm,
                                     op->gamma[c], op->beta[c]));
}

/* x, y (N,…,C) */
void
reference_norm (const struct reference_kernel *kn, int64_t n,
                const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  const int64_t c = kn->channels[0], width = c / op->groups;
  const int64_t rows = op->per_sample ? kn->g.k / c : 1;
  const int64_t sets = n * kn->g.k / (rows * width);

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < sets; i++) {
    const int64_t at = i / op->groups * rows * c;

    norm_set (op, (const uint8_t *) in[0] + at, rows, c,
              i % op->groups * width, width, (uint8_t *) out + at);
  }
}

/* x, y (N,…,C) */
void
reference_lrn (const struct reference_kernel *kn, int64_t n,
               const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  const struct qk_qparams *q = &op->in_q[0];
  const float share = op->alpha / (float) op->size;
  const int64_t c = kn->channels[0], half = op->size / 2;

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < n * kn->g.k; i++) {
    const uint8_t *x = (const uint8_t *) in[0] + i / c * c;
    const int64_t at = i % c, first = at < half ? 0 : at - half;
    const int64_t end = at + half < c ? at + half + 1 : c;
    int32_t squares = 0;

    for (int64_t j = first; j < end; j++)
      squares += (x[j] - q->zero_point) * (x[j] - q->zero_point);
    ((uint8_t *) out)[i] = on_grid (
      op, qk_lrn_real (qk_dequantize (x[at], q->scale, q->zero_point),
                       (float) squares * (q->scale * q->scale), share,
                       op->power, op->offset));
  }
}
