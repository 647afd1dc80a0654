/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weighted.c: convolution and linear layers, tile by tile.
 *
 * A piece of work is a number of output pixels, whose windows are copied to panels
 * (panel.c), and their products with blocks of 16 channels. */
#include "config.h"

#include "qnnpack.h"

#ifdef _OPENMP
#include <omp.h>
#else
#define omp_get_thread_num() 0
#endif

#define SMALL_WORK 65536 /* multiply-accumulates not worth a thread */

/* One piece of work: ROWS pixels from FIRST on by some blocks of each group. */
struct piece {
  int64_t first, rows, m; /* of M */
  int block0, block1;
};

static void
multiply_piece (const struct qnnpack_kernel *k, const uint8_t *in,
                uint8_t *out, const struct piece *w, uint8_t *panels)
{
  const struct qk_op *op = &k->op;
  const bool f32 = op->out_q.scale == 0;
  const int64_t size = f32 ? 4 : 1, kg = k->g.k / op->groups;
  const struct q8_output o
    = { op->out_q.zero_point, op->lo, op->hi, f32, k->g.k * size };

  qnnpack_fill_panels (k, in, w->first, w->rows, w->m, panels);
  for (int g = 0; g < op->groups; g++, panels += k->panel)
    for (int j = w->block0; j < w->block1; j++)
      k->gemm.run (panels, k->kc, w->rows, &k->block[g * k->blocks + j], &o,
                   out + (w->first * k->g.k + g * kg + j * Q8_NR) * size);
}

static void
run_part (const struct qnnpack_kernel *k, int64_t m, struct int8op_parts parts,
          int i, const uint8_t *in, uint8_t *out, uint8_t *scratch)
{
  const int row = i / parts.channels, column = i % parts.channels;
  const int mr = k->gemm.mr;
  const int64_t end = int8op_begin (m, mr, row + 1, parts.pixels);
  struct piece w = {
    .m = m,
    .block0 = (int) int8op_begin (k->blocks, 1, column, parts.channels),
    .block1 = (int) int8op_begin (k->blocks, 1, column + 1, parts.channels),
  };

  for (w.first = int8op_begin (m, mr, row, parts.pixels); w.first < end;
       w.first += w.rows) {
    w.rows = end - w.first < k->rows ? end - w.first : k->rows;
    multiply_piece (k, in, out, &w, scratch);
  }
}

static void
run_weighted (const struct qnnpack_kernel *k, int64_t n, const void *const *in,
              void *out, void *scratch)
{
  const int64_t m = n * k->g.p * k->g.q;
  const int64_t weight = k->g.k * k->kc;
  const struct int8op_parts parts
    = int8op_divide (m, k->blocks, weight,
                     m * weight < SMALL_WORK ? 1 : k->threads, 2 * k->gemm.mr);
  const int count = parts.pixels * parts.channels;

#pragma omp parallel for num_threads(count) schedule(static)
  for (int i = 0; i < count; i++)
    run_part (k, m, parts, i, in[0], out,
              (uint8_t *) scratch
                + (size_t) omp_get_thread_num () * k->panels);
}

/* Whether two products of -128 would be summed in 16 bits: weights eight apart in
 * a cell. */
static bool
has_lowest (const struct qnnpack_kernel *k)
{
  const int8_t *w = k->op.weight;

  for (int64_t n = 0; n < k->g.k; n++, w += k->kc)
    for (int64_t i = 0; i + 8 < k->kc; i++)
      if (w[i] == INT8_MIN && i % Q8_CELL < 8 && w[i + 8] == INT8_MIN)
        return true;
  return false;
}

int
qnnpack_prepare_weighted (struct qnnpack_kernel *k, int64_t samples,
                          size_t *scratch)
{
  int r;

  k->kc = (int64_t) k->op.kernel_h * k->op.kernel_w * (k->g.c / k->op.groups);
  k->gemm = q8_gemm_for (k->kernels.level, samples * k->g.p * k->g.q,
                         has_lowest (k));
  if ((r = qnnpack_plan_panels (k)) < 0)
    return r;
  *scratch = (size_t) k->threads * k->panels;
  k->run = run_weighted;
  return qnnpack_pack (k);
}
