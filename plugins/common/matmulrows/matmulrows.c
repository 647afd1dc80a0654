/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* matmulrows.c: products of two activations as products of uint8 and int8: with
 * w = b - 128,
 *   sum (a - z_a) (b - z_b)
 *     = sum (a - z_a) w + (128 - z_b) sum (a - z_a). */
#include "config.h"

#include <string.h>

#include "int8gemm/product.h"
#include "matmulrows.h"
#include "multiversion.h"

#define MIDDLE 128 /* between bytes and int8 */
#define TILE 32    /* bytes of a side that are transposed together */

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

/* OUT (cols,rows) of X, whose ROWS rows of COLS bytes are LDX apart; each byte
 * with the bits FLIP turned. */
static void
transpose (const uint8_t *x, int64_t rows, int64_t cols, int64_t ldx,
           uint8_t flip, uint8_t *out, int64_t ldo)
{
  for (int64_t r0 = 0; r0 < rows; r0 += TILE)
    for (int64_t c0 = 0; c0 < cols; c0 += TILE)
      for (int64_t r = r0; r < rows && r < r0 + TILE; r++)
        for (int64_t c = c0; c < cols && c < c0 + TILE; c++)
          out[c * ldo + r] = x[r * ldx + c] ^ flip;
}

QK_LOOP (static, flip_all,
         (const uint8_t *restrict x, int64_t n, uint8_t *restrict out),
         (x, n, out))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    out[i] = x[i] ^ 0x80;
}

QK_LOOP_VALUE (static, int32_t, sum_i8, (const int8_t *w, int64_t n), (w, n))
{
  int32_t sum = 0;

#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++)
    sum += w[i];
  return sum;
}

QK_LOOP_VALUE (static, int32_t, sum_u8, (const uint8_t *x, int64_t n), (x, n))
{
  int32_t sum = 0;

#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++)
    sum += x[i];
  return sum;
}

QK_LOOP (static, add_to_all, (int32_t more, int64_t n, int32_t *x),
         (more, n, x))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    x[i] = (int32_t) ((uint32_t) x[i] + (uint32_t) more);
}

void
matmul_take_b (const struct qk_kernels *kn, const struct matmul *mm,
               const struct qk_qparams *qa, const uint8_t *b, void *scratch)
{
  struct room r;

  room_at (kn, mm, scratch, &r);
  if (mm->tb)
    flip_all (b, mm->p * mm->k, (uint8_t *) r.w);
  else
    transpose (b, mm->k, mm->p, mm->p, 0x80, (uint8_t *) r.w, mm->k);
  for (int64_t j = 0; j < mm->p; j++)
    r.sum[j] = sum_i8 (r.w + j * mm->k, mm->k);
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
    transpose (a + row, mm->k, rows, mm->m, 0, r.panel, ld = depth);
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
  for (int64_t i = 0; i < rows; i++)
    add_to_all (
      (MIDDLE - qb->zero_point)
        * (sum_u8 (a + i * ld, mm->k) - (int32_t) mm->k * qa->zero_point),
      mm->p, r.acc + i * mm->p);
  return r.acc;
}
