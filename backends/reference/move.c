/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* move.c: the reference backend's operations that move bytes, and resize. */
#include "config.h"

#include "reference.h"

#include <qatkit/numeric.h>

/* y[i1,i2,…] = x[…] with axis j of y being axis order[j] of x */
void
reference_transpose (const struct reference_kernel *kn, int64_t n,
                     const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  const int64_t sample = kn->g.k;
  int64_t step[QK_MAX_DIMS] = { 0 }; /* in x along its axes */
  const struct qk_qparams *grid = &op->in_q[0];

  for (int a = op->axes - 1; a >= 0; a--)
    step[a] = a == op->axes - 1 ? 1 : step[a + 1] * op->order[2 * (a + 1)];
#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < n * sample; i++) {
    int64_t rest = i % sample, at = i / sample * sample;

    for (int j = op->axes - 1; j >= 0; j--) {
      const int from = op->order[2 * j + 1];

      at += rest % op->order[2 * from] * step[from];
      rest /= op->order[2 * from];
    }
    reference_put (grid, out, i, reference_get (grid, in[0], at));
  }
}

/* y[i1,i2,…] = x[place1[i1],place2[i2],…], or fill where one of them is -1 */
void
reference_gather (const struct reference_kernel *kn, int64_t n,
                  const void *const *in, void *out)
{
  const struct qk_op *op = &kn->op;
  const int64_t sample = kn->g.k, sample_in = kn->g.c;
  const struct qk_qparams *grid = &op->in_q[0];

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < n * sample; i++) {
    const int32_t *place = op->place + op->places;
    int64_t rest = i % sample, at = i / sample * sample_in, step = 1;
    bool filled = false;

    for (int d = kn->out.ndim - 1; d > 0; d--) {
      place -= kn->out.dims[d];
      filled |= place[rest % kn->out.dims[d]] < 0;
      at += place[rest % kn->out.dims[d]] * step;
      step *= kn->in[0].dims[d];
      rest /= kn->out.dims[d];
    }
    reference_put (grid, out, i,
                   filled ? op->fill : reference_get (grid, in[0], at));
  }
}

/* Element (p,q,c) of a sample: taps along both axes, or one row of (N,L,C). */
static uint8_t
resized (const struct reference_kernel *kn, const uint8_t *x, int64_t p,
         int64_t q, int64_t c)
{
  const struct qk_op *op = &kn->op;
  const int64_t *d = kn->in[0].dims;
  const bool image = kn->out.ndim == 4;
  const int64_t channels = d[kn->out.ndim - 1];
  const int64_t pitch = image ? d[2] * channels : 0;
  const int64_t before = image ? kn->out.dims[1] * op->taps : 0;
  int64_t row[QK_MAX_TAPS] = { 0 }, col[QK_MAX_TAPS];
  float one = 1.0f;

  for (int i = 0; i < op->taps; i++) {
    if (image)
      row[i] = op->place[p * op->taps + i] * pitch;
    col[i] = op->place[before + q * op->taps + i] * channels;
  }
  return (uint8_t) qk_resample_quantized (
    x + c, row, image ? op->share + p * op->taps : &one, image ? op->taps : 1,
    col, op->share + before + q * op->taps, op->taps, op->in_q[0].zero_point,
    op->lo, op->hi);
}

/* x (N,H,W,C) or (N,L,C) */
void
reference_resize (const struct reference_kernel *kn, int64_t n,
                  const void *const *in, void *out)
{
  const int64_t *d = kn->out.dims;
  const int last = kn->out.ndim - 1;
  const int64_t channels = d[last], width = d[last - 1];
  const int64_t sample = kn->g.k;
  uint8_t *y = out;

#pragma omp parallel for num_threads(kn->threads) schedule(static)
  for (int64_t i = 0; i < n * sample; i++) {
    const int64_t pixel = i % sample / channels;

    y[i] = resized (kn, (const uint8_t *) in[0] + i / sample * kn->g.c,
                    pixel / width, pixel % width, i % channels);
  }
}
