/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd.h: template of qk_winograd_input, _product and _output: include a
 * vector header and dot16.h, define WINOGRAD(what) as their names and the rows
 * of a tile of products for 1 to 4 vectors, WINOGRAD_ROWS_1 … (0 where the
 * level has no such tile), then include this.
 *
 * The transforms are linear maps of six numbers along columns, then along
 * rows; kernels.h has the matrices. */
#include "../kernels.h"
#include "gemm-tile.h"

/* Numbers from one of the 36 sums of all tiles to the next: known here, they
 * become part of instructions. */
#define WINOGRAD_PITCH QK_WINOGRAD_PITCH (WINOGRAD_ROWS_4 ? 4 : 2, LANES)

/* B^T d, in int16: of sums of absolute values at most 10 times that of d. */
INLINE void
winograd_bt (const vi d[6], vi t[6])
{
  const vi a = v_sub16 (d[4], v_shl16 (d[2], 2));
  const vi b = v_sub16 (d[3], v_shl16 (d[1], 2));
  const vi c = v_sub16 (d[4], d[2]), e = v_sub16 (d[3], d[1]);
  const vi e2 = v_add16 (e, e);

  t[0] = v_add16 (v_shl16 (v_sub16 (d[0], d[2]), 2), c);
  t[1] = v_add16 (a, b);
  t[2] = v_sub16 (a, b);
  t[3] = v_add16 (c, e2);
  t[4] = v_sub16 (c, e2);
  t[5] = v_sub16 (v_sub16 (d[5], d[3]), v_shl16 (e, 2));
}

QK_WINOGRAD_INPUT (WINOGRAD (input))
{
  for (int64_t i = 0; i < tiles; i++, at += 36, v += lda)
    for (int64_t c = 0; c < channels; c += 2 * LANES) {
      vi d[6], t[6][6];

      UNROLL
      for (int x = 0; x < 6; x++) {
        vi column[6];

        UNROLL
        for (int y = 0; y < 6; y++)
          d[y] = v_widen16 (at[y * 6 + x] + c, channels - c);
        winograd_bt (d, column);
        UNROLL
        for (int y = 0; y < 6; y++)
          t[y][x] = column[y];
      }
      UNROLL
      for (int y = 0; y < 6; y++) {
        winograd_bt (t[y], d);
        UNROLL
        for (int x = 0; x < 6; x++)
          v_store (v + (y * 6 + x) * pitch + c, d[x]);
      }
    }
}

INLINE void
winograd_tile (const int rows, const int vectors, const int16_t *v,
               int64_t lda, int64_t steps, const int16_t *u, int32_t *out,
               struct gemm_ahead *ahead)
{
  struct gemm_rows r = { .lda = lda * 2 };
  vi acc[12][4];

  UNROLL
  for (int i = 0; i < rows; i++) {
    UNROLL
    for (int j = 0; j < vectors; j++)
      acc[i][j] = v_zero ();
    if (i % 3 == 0)
      r.p[i / 3] = (const uint8_t *) (v + i * lda);
  }
  gemm_steps (rows, vectors, acc, &r, false, steps, (const int8_t *) u, 1,
              NULL, ahead);
  UNROLL
  for (int i = 0; i < rows; i++) {
    UNROLL
    for (int j = 0; j < vectors; j++)
      v_store (out + (i * vectors + j) * LANES, acc[i][j]);
  }
}

#define WINOGRAD_TILES(rows, most, vectors)                                   \
  for (; (rows) <= (most) && m >= (rows); m -= (rows)) {                      \
    winograd_tile (rows, vectors, v, lda, steps, u, out, &ahead);             \
    v += (rows)*lda;                                                          \
    out += (rows) * (vectors)*LANES;                                          \
  }

/* Functions of their own, as in gemm-u8s8.h. */
#define WINOGRAD_COLUMNS(vectors, most)                                       \
  static void winograd_##vectors (const int16_t *v, int64_t lda, int64_t m,   \
                                  int64_t steps, const int16_t *u,            \
                                  int32_t *out)                               \
  {                                                                           \
    const int8_t *const w = (const int8_t *) u;                               \
    struct gemm_ahead ahead                                                   \
        = gemm_ahead (w, w + steps * (vectors)*BLOCK, vectors, m / (most));   \
                                                                              \
    WINOGRAD_TILES (12, most, vectors)                                        \
    WINOGRAD_TILES (8, most, vectors)                                         \
    WINOGRAD_TILES (6, most, vectors)                                         \
    WINOGRAD_TILES (4, most, vectors)                                         \
    WINOGRAD_TILES (2, most, vectors)                                         \
    WINOGRAD_TILES (1, most, vectors)                                         \
  }

WINOGRAD_COLUMNS (1, WINOGRAD_ROWS_1)
WINOGRAD_COLUMNS (2, WINOGRAD_ROWS_2)
#if WINOGRAD_ROWS_4
WINOGRAD_COLUMNS (3, WINOGRAD_ROWS_3)
WINOGRAD_COLUMNS (4, WINOGRAD_ROWS_4)
#endif

QK_WINOGRAD_PRODUCT (WINOGRAD (product))
{
#if WINOGRAD_ROWS_4
  if (vectors == 4) {
    winograd_4 (v, lda, m, steps, u, out);
    return;
  }
  if (vectors == 3) {
    winograd_3 (v, lda, m, steps, u, out);
    return;
  }
#endif
  if (vectors == 2)
    winograd_2 (v, lda, m, steps, u, out);
  else
    winograd_1 (v, lda, m, steps, u, out);
}

/* A^T m, modulo 2^32. */
INLINE void
winograd_at (const vi m[6], vi y[4])
{
  const vi s1 = v_add32 (m[1], m[2]), d1 = v_sub32 (m[1], m[2]);
  const vi s2 = v_add32 (m[3], m[4]), d2 = v_sub32 (m[3], m[4]);

  y[0] = v_add32 (v_add32 (m[0], s1), s2);
  y[1] = v_add32 (d1, v_add32 (d2, d2));
  y[2] = v_add32 (s1, v_shl32 (s2, 2));
  y[3] = v_add32 (v_add32 (d1, v_shl32 (d2, 3)), v_add32 (m[5], m[5]));
}

/* What all outputs share, in registers: bytes written could be anything. */
struct winograd_end {
  vi ninth, zp, lo, hi;
};

/* The sums of four pixels, 576 times too large, to N bytes each at TO. */
INLINE void
winograd_store (const vi sum[4], vi bias, vf m, const struct winograd_end *e,
                uint8_t *const *to, int64_t at, int64_t n)
{
  vi r[4], bytes;

  UNROLL
  for (int x = 0; x < 4; x++) {
    const vi y = v_sra32 (v_mul32 (sum[x], e->ninth), 6);

    r[x] = v_round (vf_mul (v_float (v_add32 (y, bias)), m));
  }
  bytes = v_narrow4_ordered (r[0], r[1], r[2], r[3], e->zp);
  bytes = v_min_u8 (v_max_u8 (bytes, e->lo), e->hi);
  UNROLL
  for (int x = 0; x < 4; x++)
    v_store_quarter (to[x] + at, bytes, x, n);
}

/* LANES channels of a tile, of which N are in use. */
INLINE void
winograd_lanes (const int32_t *m, vi bias, vf multiplier,
                const struct winograd_end *e, uint8_t *const *to, int64_t at,
                int64_t n)
{
  vi t[4][6];

  UNROLL
  for (int x = 0; x < 6; x++) {
    vi d[6], column[4];

    UNROLL
    for (int y = 0; y < 6; y++)
      d[y] = v_load (m + (y * 6 + x) * WINOGRAD_PITCH);
    winograd_at (d, column);
    UNROLL
    for (int y = 0; y < 4; y++)
      t[y][x] = column[y];
  }
  UNROLL
  for (int y = 0; y < 4; y++) {
    vi sum[4];

    winograd_at (t[y], sum);
    winograd_store (sum, bias, multiplier, e, to + 4 * y, at, n);
  }
}

QK_WINOGRAD_OUTPUT (WINOGRAD (output))
{
  const struct winograd_end e
      = { v_set32 (QK_WINOGRAD_NINTH), v_set16 (o->zero_point),
          v_set8 (o->lo), v_set8 (o->hi) };
  const int vectors = b->vectors;
  const int64_t n = b->n;

  for (int64_t i = 0; i < tiles; i++, to += 16)
    for (int j = 0; j < vectors; j++, m += LANES) {
      const vi bias = v_load (b->bias + j * LANES);
      const vf multiplier = vf_load (b->multiplier + j * LANES);

      if (n >= (j + 1) * LANES)
        winograd_lanes (m, bias, multiplier, &e, to, channel + j * LANES,
                        LANES);
      else
        winograd_lanes (m, bias, multiplier, &e, to, channel + j * LANES,
                        n - j * LANES);
    }
}
