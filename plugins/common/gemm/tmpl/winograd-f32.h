/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd-f32.h: transforms and products of winograd-kernels.h for a CPU level, which
 * defines before
 *   KERNELS           the name of the level's table of them
 *   VEC, LANES        vectors of floats, and of how many
 *   LOAD(p), STORE(p, v), SPLAT(x)
 *   LOAD_BYTES(p)     bytes, widened
 *   MADD(a, b, c), NMADD(a, b, c)   a b + c and c - a b, rounded once
 *   ROWS_1, ROWS_2    rows of a product whose sums, in one panel and in two, fit
 *                     the registers; ROWS_1 a multiple of ROWS_2, LANES of both */

#include "gemm/winograd-kernels.h"

#define PART static inline __attribute__ ((always_inline))
#define UNROLL _Pragma ("GCC unroll 16")

enum { SIDE = 6, TILE = 4 };

/* The points are 0, A, -A, B, -B and infinity. */
#define A 0.625f
#define B 1.5f
#define AA (A * A)
#define BB (B * B)

/* ---- transforms of vectors of channels at each place ---------------------- */

/* What of six numbers each point sees. */
PART void
see (const VEC x[SIDE], VEC o[SIDE])
{
  const VEC a = SPLAT (A), b = SPLAT (B), aa = SPLAT (AA), bb = SPLAT (BB);
  const VEC both = SPLAT (AA * BB), sum = SPLAT (AA + BB);
  const VEC even = NMADD (bb, x[2], x[4]), odd = NMADD (bb, x[1], x[3]);
  const VEC even2 = NMADD (aa, x[2], x[4]), odd2 = NMADD (aa, x[1], x[3]);

  o[0] = MADD (both, x[0], NMADD (sum, x[2], x[4]));
  o[1] = MADD (a, odd, even);
  o[2] = NMADD (a, odd, even);
  o[3] = MADD (b, odd2, even2);
  o[4] = NMADD (b, odd2, even2);
  o[5] = MADD (both, x[1], NMADD (sum, x[3], x[5]));
}

/* The values of N taps, 3 or 4, in the points, over the products of the points'
 * distances. */
PART void
spread_taps (const VEC *x, const int n, VEC o[SIDE])
{
  const float one = 1.0f / (2.0f * AA * (AA - BB));
  const float two = 1.0f / (2.0f * BB * (BB - AA));
  const VEC even = MADD (SPLAT (AA), x[2], x[0]) * SPLAT (one);
  const VEC even2 = MADD (SPLAT (BB), x[2], x[0]) * SPLAT (two);
  const VEC odd = n > 3 ? MADD (SPLAT (AA), x[n - 1], x[1]) : x[1];
  const VEC odd2 = n > 3 ? MADD (SPLAT (BB), x[n - 1], x[1]) : x[1];

  o[0] = x[0] * SPLAT (1.0f / (AA * BB));
  o[1] = MADD (SPLAT (A * one), odd, even);
  o[2] = NMADD (SPLAT (A * one), odd, even);
  o[3] = MADD (SPLAT (B * two), odd2, even2);
  o[4] = NMADD (SPLAT (B * two), odd2, even2);
  o[5] = x[n - 1];
}

/* N outputs, 3 or 4, of the products in the points. */
PART void
gather_outputs (const VEC x[SIDE], const int n, VEC *o)
{
  const VEC even = x[1] + x[2], odd = x[1] - x[2];
  const VEC even2 = x[3] + x[4], odd2 = x[3] - x[4];

  o[0] = x[0] + even + even2;
  o[1] = MADD (SPLAT (B), odd2, SPLAT (A) * odd);
  o[2] = MADD (SPLAT (BB), even2, SPLAT (AA) * even);
  if (n > 3)
    o[3] = MADD (SPLAT (B * BB), odd2, SPLAT (A * AA) * odd);
  o[n - 1] += x[5];
}

PART VEC
number (const void *const *p, const bool bytes, float zero, int64_t i)
{
  if (bytes)
    return LOAD_BYTES ((const uint8_t *) *p + i) - SPLAT (zero);
  return LOAD ((const float *) *p + i);
}

PART void
see_pixels (const void *const *p, const bool bytes, float zero, int64_t c,
            float *to, int64_t step, int64_t panel)
{
  for (int64_t i = 0; i < c; i += LANES, to += panel) {
    VEC t[SIDE][SIDE], x[SIDE], o[SIDE];

    UNROLL
    for (int s = 0; s < SIDE; s++) {
      UNROLL
      for (int r = 0; r < SIDE; r++)
        x[r] = number (p + r * SIDE + s, bytes, zero, i);
      see (x, o);
      UNROLL
      for (int r = 0; r < SIDE; r++)
        t[r][s] = o[r];
    }
    UNROLL
    for (int r = 0; r < SIDE; r++) {
      see (t[r], o);
      UNROLL
      for (int s = 0; s < SIDE; s++)
        STORE (to + (r * SIDE + s) * step, o[s]);
    }
  }
}

static void
seen (const void *const *p, int64_t c, float *to, int64_t step, int64_t panel)
{
  see_pixels (p, false, 0.0f, c, to, step, panel);
}

static void
seen_bytes (const void *const *p, float zero, int64_t c, float *to,
            int64_t step, int64_t panel)
{
  see_pixels (p, true, zero, c, to, step, panel);
}

/* Taps of N x N. */
PART void
taps (const void *const *p, const int n, int64_t c, float *to, int64_t step,
      int64_t panel)
{
  for (int64_t i = 0; i < c; i += LANES, to += panel) {
    VEC t[SIDE][TILE], x[TILE], o[SIDE];

    UNROLL
    for (int s = 0; s < n; s++) {
      UNROLL
      for (int r = 0; r < n; r++)
        x[r] = number (p + r * n + s, false, 0.0f, i);
      spread_taps (x, n, o);
      UNROLL
      for (int r = 0; r < SIDE; r++)
        t[r][s] = o[r];
    }
    UNROLL
    for (int r = 0; r < SIDE; r++) {
      spread_taps (t[r], n, o);
      UNROLL
      for (int s = 0; s < SIDE; s++)
        STORE (to + (r * SIDE + s) * step, o[s]);
    }
  }
}

static void
taps_3x3 (const void *const *p, int64_t c, float *to, int64_t step,
          int64_t panel)
{
  taps (p, 3, c, to, step, panel);
}

static void
taps_4x4 (const void *const *p, int64_t c, float *to, int64_t step,
          int64_t panel)
{
  taps (p, 4, c, to, step, panel);
}

/* N x N outputs. */
PART void
outputs (const float *from, int64_t step, int64_t panel, const int n,
         int64_t c, float *const *p)
{
  for (int64_t i = 0; i < c; i += LANES, from += panel) {
    VEC t[TILE][SIDE], x[SIDE], o[TILE];

    UNROLL
    for (int s = 0; s < SIDE; s++) {
      UNROLL
      for (int r = 0; r < SIDE; r++)
        x[r] = LOAD (from + (r * SIDE + s) * step);
      gather_outputs (x, n, o);
      UNROLL
      for (int r = 0; r < n; r++)
        t[r][s] = o[r];
    }
    UNROLL
    for (int r = 0; r < n; r++) {
      gather_outputs (t[r], n, o);
      UNROLL
      for (int s = 0; s < n; s++)
        STORE (p[r * n + s] + i, o[s]);
    }
  }
}

static void
outputs_3x3 (const float *from, int64_t step, int64_t panel, int64_t c,
             float *const *p)
{
  outputs (from, step, panel, 3, c, p);
}

static void
outputs_4x4 (const float *from, int64_t step, int64_t panel, int64_t c,
             float *const *p)
{
  outputs (from, step, panel, 4, c, p);
}

/* ---- products ----------------------------------------------------------------*/

/* ROWS x WIDTH panels of sums, over OUTER times INNER: operand a has the number of
 * row r and depth l at r * ROW + l * STEP, and A_OUTER further on after INNER. */
PART void
sums (const int rows, const int width, int64_t outer, int64_t a_outer,
      int64_t inner, const float *a, const int row, const int step,
      const float *b, int64_t b_panel, const bool add, float *c,
      int64_t c_panel)
{
  VEC sum[ROWS_1][2];

  UNROLL
  for (int r = 0; r < rows; r++)
    UNROLL
  for (int w = 0; w < width; w++)
    sum[r][w] = add ? LOAD (c + w * c_panel + r * LANES) : SPLAT (0.0f);
  for (int64_t o = 0; o < outer; o++, a += a_outer, b += inner * LANES) {
    const float *x = a, *y = b;

    for (int64_t l = 0; l < inner; l++, x += step, y += LANES) {
      VEC v[2];

      UNROLL
      for (int w = 0; w < width; w++)
        v[w] = LOAD (y + w * b_panel);
      UNROLL
      for (int r = 0; r < rows; r++) {
        const VEC u = SPLAT (x[r * row]);

        UNROLL
        for (int w = 0; w < width; w++)
          sum[r][w] = MADD (u, v[w], sum[r][w]);
      }
    }
  }
  UNROLL
  for (int r = 0; r < rows; r++)
    UNROLL
  for (int w = 0; w < width; w++)
    STORE (c + w * c_panel + r * LANES, sum[r][w]);
}

static void
rows_product (int64_t m, int64_t n, int64_t k, const float *a, const float *b,
              float *c, int64_t panel)
{
  const int64_t b_panel = k * LANES;

  for (; n > LANES; n -= 2 * LANES, b += 2 * b_panel, c += 2 * panel)
    for (int64_t i = 0; i < m; i += ROWS_2)
      sums (ROWS_2, 2, k / LANES, panel, LANES, a + i * LANES, LANES, 1, b,
            b_panel, false, c + i * LANES, panel);
  for (int64_t i = 0; n > 0 && i < m; i += ROWS_1)
    sums (ROWS_1, 1, k / LANES, panel, LANES, a + i * LANES, LANES, 1, b,
          b_panel, false, c + i * LANES, panel);
}

static void
sum_product (int64_t m, int64_t n, int64_t k, const float *a, const float *b,
             int64_t panel, float *c)
{
  const int64_t c_panel = m * LANES;

  for (; n > LANES; n -= 2 * LANES, b += 2 * panel, c += 2 * c_panel)
    for (int64_t i = 0; i < m; i += ROWS_2)
      sums (ROWS_2, 2, 1, 0, k, a + i / LANES * panel + i % LANES, 1, LANES, b,
            panel, true, c + i * LANES, c_panel);
  for (int64_t i = 0; n > 0 && i < m; i += ROWS_1)
    sums (ROWS_1, 1, 1, 0, k, a + i / LANES * panel + i % LANES, 1, LANES, b,
          panel, true, c + i * LANES, c_panel);
}

const struct winograd_kernels KERNELS
  = { LANES,    ROWS_1,      seen,        seen_bytes,   taps_3x3,
      taps_4x4, outputs_3x3, outputs_4x4, rows_product, sum_product };
