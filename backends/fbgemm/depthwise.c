/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* depthwise.c: convolution with one input channel an output channel, an
 * output row at a time. */
#include "config.h"

#include "fbgemm.h"

#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#endif

/* Multiply-accumulates for each lane that are not worth a thread: about two
 * microseconds, which meeting takes where cores share no cache. */
#define SMALL_WORK 6144

/* What a thread needs for one row: pointers and steps of window rows, and the
 * kernel's buffer. */
struct rows {
  const uint8_t **row;
  int64_t *step;
  uint8_t *buffer;
};

static size_t
pointers_bytes (const struct fbgemm_kernel *k)
{
  return (size_t) round64 (
    (int64_t) (k->op.kernel_h * (sizeof (uint8_t *) + sizeof (int64_t))));
}

static size_t
rows_bytes (const struct fbgemm_kernel *k)
{
  const struct qk_op *op = &k->op;
  const int64_t columns = qk_dwconv_columns (op->kernel_w, op->dilation_w,
                                             op->stride_w, QK_DWCONV_CHUNK);

  return pointers_bytes (k)
         + (size_t) (columns * divide_up (op->kernel_h, 4) * 16 * k->dw_lanes);
}

static void
depthwise_row (const struct fbgemm_kernel *k, const uint8_t *x, int64_t p,
               uint8_t *y, struct rows t)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const struct qk_output o
    = { op->out_q.zero_point, op->lo, op->hi, false, g->c };
  const struct qk_dwconv_row w = {
    .row = t.row,
    .step = t.step,
    .pad = k->pad,
    .kernel_h = op->kernel_h,
    .kernel_w = op->kernel_w,
    .stride = op->stride_w,
    .dilation = op->dilation_w,
    .pad_left = op->pad_left,
    .width = g->w,
    .channels = g->c,
    .q = g->q,
    .block = k->dw,
    .blocks = k->dw_blocks,
    .buffer = t.buffer,
  };

  for (int r = 0; r < op->kernel_h; r++) {
    const int64_t row
      = p * op->stride_h - op->pad_top + (int64_t) r * op->dilation_h;
    const bool inside = row >= 0 && row < g->h;

    t.row[r] = inside ? x + row * g->w * g->c : k->pad;
    t.step[r] = inside ? g->c : 0;
  }
  k->dwconv (&w, &o, y);
}

static void
run_depthwise (const struct fbgemm_kernel *k, int64_t n, const void *const *in,
               void *out, void *scratch)
{
  const struct int8op_geometry *g = &k->g;
  const int64_t rows = n * g->p;
  const int64_t macs = rows * g->q * g->c * k->op.kernel_h * k->op.kernel_w;
  const int threads = macs < SMALL_WORK * k->kernels.lanes ? 1 : k->threads;

#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < rows; i++) {
    uint8_t *own
      = (uint8_t *) scratch + (size_t) omp_get_thread_num () * rows_bytes (k);
    const struct rows t = {
      (void *) own,
      (void *) (own + (size_t) k->op.kernel_h * sizeof (uint8_t *)),
      own + pointers_bytes (k),
    };

    depthwise_row (k, (const uint8_t *) in[0] + i / g->p * g->h * g->w * g->c,
                   i % g->p, (uint8_t *) out + i * g->q * g->c, t);
  }
}

/* Vectors of half the size where one block of them has all channels.  (More
 * small blocks for fewer empty lanes cost more than they save.) */
static void
choose_width (struct fbgemm_kernel *k)
{
  const int lanes = k->kernels.lanes;
  const bool narrow = k->kernels.dwconv_narrow != NULL && k->g.c <= 2 * lanes;

  k->dwconv = narrow ? k->kernels.dwconv_narrow : k->kernels.dwconv;
  k->dw_lanes = narrow ? lanes / 2 : lanes;
}

int
fbgemm_prepare_depthwise (struct fbgemm_kernel *k, size_t *scratch)
{
  k->pad = qk_alloc ((size_t) k->g.c);
  if (k->pad == NULL)
    return qk_oom ("fbgemm");
  memset (k->pad, k->op.in_q[0].zero_point, (size_t) k->g.c);
  choose_width (k);
  *scratch = (size_t) k->threads * rows_bytes (k);
  k->run = run_depthwise;
  return fbgemm_pack_dwconv (k);
}
