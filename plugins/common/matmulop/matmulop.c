/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* matmulop.c: products of two activations as an operation of int8 networks. */
#include "config.h"

#include "matmulop.h"

#include <qatkit/numeric.h>

#include "matmulrows/matmulrows.h"
#include "multiversion.h"

#define SMALL_WORK 65536 /* multiply-accumulates not worth a thread */

struct matmulop {
  struct qk_op op;
  int threads;
  struct qk_kernels kernels;
  struct matmul mm;
  size_t each; /* bytes of scratch memory of a thread */
};

QK_LOOP (static, requantize,
         (const int32_t *restrict x, int64_t n, float m,
          const struct qk_op *op, uint8_t *restrict y),
         (x, n, m, op, y))
{
  const int32_t zp = op->out_q.zero_point, lo = op->lo, hi = op->hi;

  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = (uint8_t) qk_requantize (x[i], m, zp, lo, hi);
}

/* Rows FIRST to END - 1 of y of PRODUCT, counted over all samples. */
static void
run_rows (const struct matmulop *k, int64_t product, int64_t first,
          int64_t end, const void *const *in, uint8_t *y, void *scratch)
{
  const struct matmul *mm = &k->mm;
  const struct qk_qparams *qa = &k->op.in_q[0], *qb = &k->op.in_q[1];
  const float multiplier = qk_product_multiplier (
    qa->scale, qb->scale, k->op.factor, k->op.out_q.scale);
  int64_t from[2], rows;

  matmul_at (mm, product, from);
  matmul_take_b (&k->kernels, mm, qa,
                 (const uint8_t *) in[1] + from[1] * mm->k * mm->p, scratch);
  for (int64_t row = first; row < end; row += rows) {
    const int32_t *sum;

    rows = end - row < MATMUL_ROWS ? end - row : MATMUL_ROWS;
    sum = matmul_rows (&k->kernels, mm, qa, qb,
                       (const uint8_t *) in[0] + from[0] * mm->m * mm->k, row,
                       rows, scratch);
    requantize (sum, rows * mm->p, multiplier, &k->op,
                y + (product * mm->m + row) * mm->p);
  }
}

void
matmulop_run (const struct matmulop *k, int64_t n, const void *const *in,
              uint8_t *y, void *scratch)
{
  const struct matmul *mm = &k->mm;
  const int64_t products = n * mm->products;
  const int64_t work = products * mm->m * mm->k * mm->p;
  const int threads = work < SMALL_WORK ? 1 : k->threads;
  const int64_t parts = products < threads ? threads : 1; /* of a product */

#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; t++)
    for (int64_t i = products * parts * t / threads;
         i < products * parts * (t + 1) / threads; i++)
      run_rows (k, i / parts, mm->m * (i % parts) / parts,
                mm->m * (i % parts + 1) / parts, in, y,
                (char *) scratch + (size_t) t * k->each);
}

int
matmulop_new (const struct qk_kernels *kernels, const struct qk_op *op,
              const struct qk_shape *in, int threads, struct matmulop **out,
              size_t *scratch)
{
  struct matmulop *k = qk_alloc (sizeof *k);

  if (k == NULL)
    return qk_oom ("%s", op->name);
  qk_op_copy (&k->op, op);
  k->threads = threads;
  k->kernels = *kernels;
  matmul_plan (&in[0], &in[1], op->transpose_a, op->transpose_b, &k->mm);
  k->each = matmul_scratch (&k->kernels, &k->mm);
  *scratch = (size_t) threads * k->each;
  *out = k;
  return 0;
}
