/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* matmul.c: products of two activations in plain loops over 16-bit numbers,
 * which compilers make vector code of. */
#include "config.h"

#include "qnnpack.h"

#include <qatkit/numeric.h>

#include "multiversion.h"

#define SMALL_WORK 65536 /* multiply-accumulates not worth a thread */

static size_t
round64 (size_t size)
{
  return (size + 63) / 64 * 64;
}

/* Bytes that a row of a, and the transposed b, have in scratch memory. */
static size_t
row_bytes (const struct matmul *mm)
{
  return round64 ((size_t) mm->k * sizeof (int16_t));
}

static size_t
thread_bytes (const struct matmul *mm)
{
  return row_bytes (mm)
         + round64 ((size_t) (mm->k * mm->p) * sizeof (int16_t));
}

/* N bytes that lie STEP apart, less Z. */
static void
widen (const uint8_t *x, int64_t step, int64_t n, int32_t z, int16_t *out)
{
  for (int64_t i = 0; i < n; i++)
    out[i] = (int16_t) (x[i * step] - z);
}

QK_LOOP_VALUE (static, int32_t, dot,
               (const int16_t *a, const int16_t *b, int64_t n), (a, b, n))
{
  int32_t sum = 0;

#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++)
    sum += a[i] * b[i];
  return sum;
}

/* Rows FIRST to END - 1 of y of PRODUCT, counted over all samples. */
static void
run_rows (const struct qnnpack_kernel *k, int64_t product, int64_t first,
          int64_t end, const void *const *in, uint8_t *y, void *scratch)
{
  const struct matmul *mm = &k->matmul;
  const struct qk_op *op = &k->op;
  const struct qk_qparams *qa = &op->in_q[0], *qb = &op->in_q[1];
  const float multiplier = qk_product_multiplier (qa->scale, qb->scale,
                                                  op->factor, op->out_q.scale);
  int16_t *row = scratch;
  int16_t *columns = (int16_t *) (void *) ((char *) scratch + row_bytes (mm));
  const uint8_t *a = in[0], *b = in[1];
  int64_t from[2];

  matmul_at (mm, product, from);
  a += from[0] * mm->m * mm->k;
  b += from[1] * mm->k * mm->p;
  for (int64_t j = 0; j < mm->p; j++)
    widen (b + j * (mm->tb ? mm->k : 1), mm->tb ? 1 : mm->p, mm->k,
           qb->zero_point, columns + j * mm->k);
  for (int64_t i = first; i < end; i++) {
    widen (a + i * (mm->ta ? 1 : mm->k), mm->ta ? mm->m : 1, mm->k,
           qa->zero_point, row);
    for (int64_t j = 0; j < mm->p; j++)
      y[(product * mm->m + i) * mm->p + j] = (uint8_t) qk_requantize (
        dot (row, columns + j * mm->k, mm->k), multiplier,
        op->out_q.zero_point, op->lo, op->hi);
  }
}

static void
run_matmul (const struct qnnpack_kernel *k, int64_t n, const void *const *in,
            void *out, void *scratch)
{
  const struct matmul *mm = &k->matmul;
  const int64_t products = n * mm->products;
  const int64_t work = products * mm->m * mm->k * mm->p;
  const int threads = work < SMALL_WORK ? 1 : k->threads;
  const int64_t parts = products < threads ? threads : 1; /* of a product */

#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; t++)
    for (int64_t i = products * parts * t / threads;
         i < products * parts * (t + 1) / threads; i++)
      run_rows (k, i / parts, mm->m * (i % parts) / parts,
                mm->m * (i % parts + 1) / parts, in, out,
                (char *) scratch + (size_t) t * thread_bytes (mm));
}

void
qnnpack_prepare_matmul (struct qnnpack_kernel *k, const struct qk_shape *in,
                        size_t *scratch)
{
  matmul_plan (&in[0], &in[1], k->op.transpose_a, k->op.transpose_b,
               &k->matmul);
  *scratch = (size_t) k->threads * thread_bytes (&k->matmul);
  k->run = run_matmul;
}
