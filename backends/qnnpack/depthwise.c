/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* depthwise.c: convolution with one input channel an output channel, an
 * output row at a time.  Pointers to the pixels of the rows that a window
 * covers are made once a row; neighbouring windows share them. */
#include "config.h"

#include "qnnpack.h"

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#endif

#define MOST_POINTERS (1 << 20) /* of a thread */
#define SMALL_WORK 32768        /* multiply-accumulates not worth a thread */

/* Columns that the windows of an output row reach over. */
static int64_t
columns (const struct qnnpack_kernel *k)
{
  return (k->g.q - 1) * k->op.stride_w
         + (int64_t) (k->op.kernel_w - 1) * k->op.dilation_w + 1;
}

bool
qnnpack_is_depthwise (const struct qnnpack_kernel *k)
{
  return k->op.groups == k->g.c && k->g.k == k->g.c && k->g.c > 1
         && k->op.out_q.scale != 0
         && columns (k) * k->op.kernel_h <= MOST_POINTERS;
}

/* N pointers, each STEP bytes behind the one before, EACH places apart. */
static const uint8_t **
point (const uint8_t **to, int64_t n, const uint8_t *x, int64_t step, int each)
{
  for (; n > 0; n--, to += each, x += step)
    *to = x;
  return to;
}

/* Pointers to the pixels of the columns that output row P reaches over; to padding
 * where there are none. */
static void
point_at_columns (const struct qnnpack_kernel *k, const uint8_t *x, int64_t p,
                  const uint8_t **to)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const int64_t count = columns (k);
  const int64_t left = op->pad_left < count ? op->pad_left : count;
  const int64_t most = count - left;
  const int64_t middle = most < g->w ? most : g->w;

  for (int r = 0; r < op->kernel_h; r++) {
    const int64_t row
      = p * op->stride_h - op->pad_top + (int64_t) r * op->dilation_h;
    const uint8_t **at = to + r;

    if (row < 0 || row >= g->h) {
      point (at, count, k->pad, 0, op->kernel_h);
      continue;
    }
    at = point (at, left, k->pad, 0, op->kernel_h);
    at = point (at, middle, x + row * g->w * g->c, g->c, op->kernel_h);
    point (at, most - middle, k->pad, 0, op->kernel_h);
  }
}

static void
run_depthwise (const struct qnnpack_kernel *k, int64_t n,
               const void *const *in, void *out, void *scratch)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const struct q8_output o
    = { op->out_q.zero_point, op->lo, op->hi, false, g->c };
  const int64_t rows = n * g->p;
  const int64_t macs = rows * g->q * g->c * op->kernel_h * op->kernel_w;
  const int threads = macs < SMALL_WORK ? 1 : k->threads;

#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < rows; i++) {
    const uint8_t **pointers
      = (void *) ((uint8_t *) scratch
                  + (size_t) omp_get_thread_num () * k->pointers);
    const struct q8_dwconv_row w = {
      .column = pointers,
      .kernel_h = op->kernel_h,
      .kernel_w = op->kernel_w,
      .stride = op->stride_w,
      .dilation = op->dilation_w,
      .q = g->q,
      .block = k->dw,
      .blocks = k->blocks,
    };

    point_at_columns (k,
                      (const uint8_t *) in[0] + i / g->p * g->h * g->w * g->c,
                      i % g->p, pointers);
    k->dwconv.run (&w, &o, (uint8_t *) out + i * g->q * g->c);
  }
}

/* Whether two products of -128 would be summed in 16 bits. */
static bool
has_lowest (const struct qnnpack_kernel *k)
{
  const int rows = k->op.kernel_h, columns = k->op.kernel_w;
  const int8_t *w = k->op.weight;

  for (int64_t c = 0; c < k->g.c; c++, w += rows * columns)
    for (int r = 0; r + 1 < rows; r += 2)
      for (int s = 0; s < columns; s++)
        if (w[r * columns + s] == INT8_MIN
            && w[(r + 1) * columns + s] == INT8_MIN)
          return true;
  return false;
}

int
qnnpack_prepare_depthwise (struct qnnpack_kernel *k, size_t *scratch)
{
  k->dwconv = q8_dwconv_for (k->kernels.level, has_lowest (k));
  k->pointers
    = ((size_t) (columns (k) * k->op.kernel_h) * sizeof (uint8_t *) + 63) / 64
      * 64;
  *scratch = (size_t) k->threads * k->pointers;
  k->run = run_depthwise;
  return qnnpack_pack_dwconv (k);
}
