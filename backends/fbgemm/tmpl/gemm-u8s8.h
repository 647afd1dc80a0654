/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8.h: template of qk_gemm_u8s8: include a vector header, define
 * v_dot, GEMM_NAME and the rows of a tile for 1 to 4 vectors, GEMM_ROWS_1 …
 * (0 where the level has no such tile), then include this.
 *
 * A tile is rows x vectors accumulators in registers; a step multiplies four
 * bytes of every row, spread over the lanes, by a vector of weights. */
#include "../kernels.h"

/* Rows are addressed from every third, to spare address registers. */
INLINE void
gemm_steps (const int rows, const int vectors, vi acc[][4], const uint8_t *a,
            int64_t lda, int64_t steps, const int8_t *w)
{
  const uint8_t *p[4];

  UNROLL
  for (int i = 0; i < rows; i += 3)
    p[i / 3] = a + i * lda;
  for (int64_t k = 0; k < steps; k++) {
    vi wv[4];

    UNROLL
    for (int v = 0; v < vectors; v++)
      wv[v] = v_load (w + v * BLOCK);
    w += vectors * BLOCK;
    UNROLL
    for (int i = 0; i < rows; i++) {
      const vi x = v_spread4 (p[i / 3] + i % 3 * lda);

      UNROLL
      for (int v = 0; v < vectors; v++)
        acc[i][v] = v_dot (acc[i][v], x, wv[v]);
    }
    UNROLL
    for (int i = 0; i < rows; i += 3)
      p[i / 3] += 4;
  }
}

INLINE void
gemm_extras (const int rows, const int vectors, vi acc[][4],
             const uint8_t *a, int64_t lda, const struct qk_gemm_block *b)
{
  for (int e = 0; e < b->extras; e++)
    gemm_steps (rows, vectors, acc, a + 4 * (int64_t) b->extra_step[e], lda,
                1, b->extra + (int64_t) e * vectors * BLOCK);
}

INLINE void
gemm_store_f32 (const int rows, const int vectors, vi acc[][4],
                const struct qk_gemm_block *b, const struct qk_output *o,
                uint8_t *out)
{
  UNROLL
  for (int i = 0; i < rows; i++) {
    UNROLL
    for (int v = 0; v < vectors; v++)
      vf_store_part ((float *) (void *) (out + i * o->pitch) + v * LANES,
                     vf_mul (v_float (acc[i][v]),
                             vf_load (b->multiplier + v * LANES)),
                     b->n - v * LANES);
  }
}

/* Products are below 2^31 (certified when packing), so that the rounding
 * conversion cannot overflow; the rest saturates step by step. */
INLINE void
gemm_store_u8 (const int rows, const int vectors, vi acc[][4],
               const struct qk_gemm_block *b, const struct qk_output *o,
               uint8_t *out)
{
  const vi zp = v_set16 (o->zero_point);
  const vi lo = v_set8 (o->lo), hi = v_set8 (o->hi);
  const int together = vectors == 1 ? 4 : vectors == 2 ? 2 : 1;
  const int n = b->n;

  UNROLL
  for (int v = 0; v < vectors; v++) {
    const vf m = vf_load (b->multiplier + v * LANES);

    UNROLL
    for (int i = 0; i < rows; i++)
      acc[i][v] = v_round (vf_mul (v_float (acc[i][v]), m));
  }
  UNROLL
  for (int i = 0; i < rows; i += together) {
    vi part[4], r;

    UNROLL
    for (int j = 0; j < 4; j++) {
      const int row = i + j / vectors;

      part[j] = acc[vectors < 3 && row < rows ? row : i]
                   [vectors < 3 ? j % vectors : j < vectors ? j : 0];
    }
    r = v_narrow4_ordered (part[0], part[1], part[2], part[3], zp);
    r = v_min_u8 (v_max_u8 (r, lo), hi);
    if (together == 1)
      v_store_part (out + i * o->pitch, r, n);
    UNROLL
    for (int j = 0; j < together; j++)
      if (i + j < rows) {
        if (together == 2)
          v_store_half (out + (i + j) * o->pitch, r, j, n);
        if (together == 4)
          v_store_quarter (out + (i + j) * o->pitch, r, j, n);
      }
  }
}

INLINE void
gemm_tile (const int rows, const int vectors, const uint8_t *a, int64_t lda,
           int64_t steps, const struct qk_gemm_block *b,
           const struct qk_output *o, uint8_t *out)
{
  vi acc[12][4];

  UNROLL
  for (int v = 0; v < vectors; v++) {
    const vi bias = v_load (b->bias + v * LANES);

    UNROLL
    for (int i = 0; i < rows; i++)
      acc[i][v] = bias;
  }
  gemm_steps (rows, vectors, acc, a, lda, steps, b->weight);
  if (b->extras > 0)
    gemm_extras (rows, vectors, acc, a, lda, b);
  if (o->f32)
    gemm_store_f32 (rows, vectors, acc, b, o, out);
  else
    gemm_store_u8 (rows, vectors, acc, b, o, out);
}

/* All full tiles of ROWS that M has room for. */
#define GEMM_TILES(rows, vectors)                                             \
  for (; (rows) <= GEMM_ROWS_##vectors && m >= (rows); m -= (rows)) {         \
    gemm_tile (rows, vectors, a, lda, steps, b, o, y);                        \
    a += (rows) * lda;                                                        \
    y += (rows) * o->pitch;                                                   \
  }

#define GEMM_COLUMNS(vectors)                                                 \
  static void gemm_##vectors (const uint8_t *a, int64_t lda, int64_t m,       \
                              int64_t steps, const struct qk_gemm_block *b,   \
                              const struct qk_output *o, uint8_t *y)          \
  {                                                                           \
    GEMM_TILES (12, vectors)                                                  \
    GEMM_TILES (8, vectors)                                                   \
    GEMM_TILES (6, vectors)                                                   \
    GEMM_TILES (4, vectors)                                                   \
    GEMM_TILES (2, vectors)                                                   \
    GEMM_TILES (1, vectors)                                                   \
  }

GEMM_COLUMNS (1)
GEMM_COLUMNS (2)
#if GEMM_ROWS_4
GEMM_COLUMNS (3)
GEMM_COLUMNS (4)
#endif

QK_GEMM_U8S8 (GEMM_NAME)
{
  switch (b->vectors) {
  case 1:
    gemm_1 (a, lda, m, steps, b, o, out);
    break;
  case 2:
    gemm_2 (a, lda, m, steps, b, o, out);
    break;
#if GEMM_ROWS_4
  case 3:
    gemm_3 (a, lda, m, steps, b, o, out);
    break;
  default:
    gemm_4 (a, lda, m, steps, b, o, out);
    break;
#endif
  }
}
