/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* matmulrows.c: products of two activations as products of uint8 and int8: with
 * w = b - 128,
 *   sum (a - z_a) (b - z_b)
 *     = sum (a - z_a) w + (128 - z_b) sum (a - z_a). */
#include "config.h"

#include <string.h>

#include "int8gemm/product.h"
#include "matmulrows.h"
#include "move/transpose.h"
#include "multiversion.h"

#define MIDDLE 128 /* between bytes and int8 */

/* ---- scratch memory ---------------------------------------------------- */

struct room {
  double *sum;    /* P: of the rows of w */
  int8_t *w;      /* (P,K) */
  uint8_t *panel; /* rows of a, one after the other */
  int32_t *acc;   /* (MATMUL_ROWS,P) */
  void *packed;
};

static size_t
take (size_t *total, size_t size)
{
  const size_t at = *total;

  *total += (size + 63) & ~(size_t) 63;
  return at;
}

static size_t
room_at (const struct qk_kernels *kn, const struct matmul *mm, void *scratch,
         struct room *r)
{
  const size_t p = (size_t) mm->p;
  const size_t depth = (size_t) qk_product_depth (mm->k);
  char *base = scratch;
  size_t size = 0;

  r->sum = (double *) (void *) (base + take (&size, p * sizeof *r->sum));
  r->w = (int8_t *) (base + take (&size, p * (size_t) mm->k));
  r->panel = (uint8_t *) (base + take (&size, MATMUL_ROWS * depth));
  r->acc
    = (int32_t *) (void *) (base
                            + take (&size, MATMUL_ROWS * p * sizeof *r->acc));
  r->packed = base + take (&size, qk_product_size (kn, mm->p, mm->k));
  return size;
}

size_t
matmul_scratch (const struct qk_kernels *kn, const struct matmul *mm)
{
  static char nothing[1];
  struct room r;

  return room_at (kn, mm, nothing, &r);
}

/* ---- products ---------------------------------------------------------- */

/* Bytes to int8 with 128 taken from each; OUT may be X. */
QK_LOOP (static, flip_all, (const uint8_t *x, int64_t n, uint8_t *out),
         (x, n, out))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    out[i] = x[i] ^ 0x80;
}

/* The sum of each of the ROWS rows of W, K numbers each. */
QK_LOOP (static, sum_rows,
         (const int8_t *w, int64_t rows, int64_t k, double *out),
         (w, rows, k, out))
{
  for (int64_t j = 0; j < rows; j++, w += k) {
    int32_t sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < k; i++)
      sum += w[i];
    out[j] = sum;
  }
}

/* Add FACTOR times (the sum of row i of A - OFFSET) to row i of ACC. */
QK_LOOP (static, add_sums,
         (const uint8_t *a, int64_t lda, int64_t rows, int64_t k,
          int32_t factor, int32_t offset, int64_t p, int32_t *acc),
         (a, lda, rows, k, factor, offset, p, acc))
{
  for (int64_t i = 0; i < rows; i++, a += lda, acc += p) {
    int32_t sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < k; c++)
      sum += a[c];
    sum = (int32_t) ((uint32_t) factor * (uint32_t) (sum - offset));
    QK_SIMD
    for (int64_t j = 0; j < p; j++)
      acc[j] = (int32_t) ((uint32_t) acc[j] + (uint32_t) sum);
  }
}

void
matmul_take_b (const struct qk_kernels *kn, const struct matmul *mm,
               const struct qk_qparams *qa, const uint8_t *b, void *scratch)
{
  struct room r;

  room_at (kn, mm, scratch, &r);
  if (mm->tb)
    flip_all (b, mm->p * mm->k, (uint8_t *) r.w);
  else {
    transpose_bytes (b, mm->k, mm->p, mm->p, (uint8_t *) r.w, mm->k);
    flip_all ((const uint8_t *) r.w, mm->p * mm->k, (uint8_t *) r.w);
  }
  sum_rows (r.w, mm->p, mm->k, r.sum);
  qk_product_pack (kn, mm->p, mm->k, r.w, mm->k, r.packed);
  qk_product_range (kn, mm->p, mm->k, r.sum, qa, r.packed);
}

const int32_t *
matmul_rows (const struct qk_kernels *kn, const struct matmul *mm,
             const struct qk_qparams *qa, const struct qk_qparams *qb,
             const uint8_t *a, int64_t row, int64_t rows, void *scratch)
{
  const int64_t depth = qk_product_depth (mm->k);
  int64_t ld = mm->k;
  struct room r;

  room_at (kn, mm, scratch, &r);
  if (mm->ta) {
    transpose_bytes (a + row, mm->k, rows, mm->m, r.panel, ld = depth);
    a = r.panel;
  } else {
    a += row * mm->k;
    if (depth != mm->k) { /* whole steps must be readable */
      for (int64_t i = 0; i < rows; i++)
        memcpy (r.panel + i * depth, a + i * ld, (size_t) ld);
      a = r.panel;
      ld = depth;
    }
  }
  qk_product (kn, rows, mm->p, mm->k, a, ld, r.packed, false, r.acc, mm->p);
  add_sums (a, ld, rows, mm->k, MIDDLE - qb->zero_point,
            (int32_t) mm->k * qa->zero_point, mm->p, r.acc);
  return r.acc;
}
