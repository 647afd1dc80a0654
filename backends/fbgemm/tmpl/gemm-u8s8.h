/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8.h: template of qk_gemm_u8s8: include a vector header, define
 * v_dot, GEMM_NAME and the rows of a tile for 1 to 4 vectors, GEMM_ROWS_1 …
 * (0 where the level has no such tile), then include this.
 *
 * A tile is rows x vectors accumulators in registers; a step multiplies four
 * bytes of every row, spread over the lanes, by a vector of weights.  Without
 * VNNI pairs of products are summed in int16 over several steps, as many as
 * packing has proved safe, before they are added to the accumulators. */
#include "../kernels.h"

/* Rows are addressed from every third, to spare address registers. */
INLINE const uint8_t *
gemm_row (const uint8_t *const p[4], int64_t lda, const int i)
{
  return p[i / 3] + i % 3 * lda;
}

/* One step of all rows, added in int32. */
INLINE void
gemm_step (const int rows, const int vectors, vi acc[][4],
           const uint8_t *p[4], int64_t lda, const int8_t *w)
{
  vi wv[4];

  UNROLL
  for (int v = 0; v < vectors; v++)
    wv[v] = v_load (w + v * BLOCK);
  UNROLL
  for (int i = 0; i < rows; i++) {
    const vi x = v_spread4 (gemm_row (p, lda, i));

    UNROLL
    for (int v = 0; v < vectors; v++)
      acc[i][v] = v_dot (acc[i][v], x, wv[v]);
  }
  UNROLL
  for (int i = 0; i < rows; i += 3)
    p[i / 3] += 4;
}

#ifdef DOT_CHAINS
/* CHAIN steps of all rows, of which each row's are summed in int16 before the
 * sum is added in int32. */
INLINE void
gemm_chain (const int rows, const int vectors, vi acc[][4],
            const uint8_t *p[4], int64_t lda, const int8_t *w,
            const int chain)
{
  UNROLL
  for (int i = 0; i < rows; i++) {
    vi sum[4];

    UNROLL
    for (int k = 0; k < chain; k++) {
      const vi x = v_spread4 (gemm_row (p, lda, i) + 4 * k);

      UNROLL
      for (int v = 0; v < vectors; v++) {
        const vi pairs = v_pairs (x, v_load (w + (k * vectors + v) * BLOCK));

        sum[v] = v_here (k == 0 ? pairs : v_add16 (sum[v], pairs));
      }
    }
    UNROLL
    for (int v = 0; v < vectors; v++)
      acc[i][v] = v_add_pairs (acc[i][v], sum[v]);
  }
  UNROLL
  for (int i = 0; i < rows; i += 3)
    p[i / 3] += 4 * chain;
}
#endif

/* STEPS steps of the rows at A, CHAIN at a time. */
INLINE void
gemm_steps (const int rows, const int vectors, vi acc[][4], const uint8_t *a,
            int64_t lda, int64_t steps, const int8_t *w, const int chain)
{
  const uint8_t *p[4];
  int64_t k = 0;

  UNROLL
  for (int i = 0; i < rows; i += 3)
    p[i / 3] = a + i * lda;
#ifdef DOT_CHAINS
  if (chain > 1)
    for (; k + chain <= steps; k += chain, w += chain * vectors * BLOCK)
      gemm_chain (rows, vectors, acc, p, lda, w, chain);
#endif
  (void) chain;
  for (; k < steps; k++, w += vectors * BLOCK)
    gemm_step (rows, vectors, acc, p, lda, w);
}

#ifdef DOT_CHAINS
INLINE void
gemm_extras (const int rows, const int vectors, vi acc[][4],
             const uint8_t *a, int64_t lda, const struct qk_gemm_block *b)
{
  const int8_t *w = b->extra;
  const uint8_t *index = b->extra_index;

  for (int e = 0; e < b->extras; e++) {
    const uint8_t *p = a + b->extra_at[e];

    UNROLL
    for (int i = 0; i < rows; i++) {
      const vi x = v_spread16 (p + i * lda);

      UNROLL
      for (int v = 0; v < vectors; v++)
        acc[i][v] = v_dot (acc[i][v], v_pick (x, v_load (index + v * BLOCK)),
                           v_load (w + v * BLOCK));
    }
    w += vectors * BLOCK;
    index += vectors * BLOCK;
  }
}
#endif

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
gemm_tile (const int rows, const int vectors, const int chain,
           const uint8_t *a, int64_t lda, int64_t steps,
           const struct qk_gemm_block *b, const struct qk_output *o,
           uint8_t *out)
{
  vi acc[12][4];

  UNROLL
  for (int v = 0; v < vectors; v++) {
    const vi bias = v_load (b->bias + v * LANES);

    UNROLL
    for (int i = 0; i < rows; i++)
      acc[i][v] = bias;
  }
  gemm_steps (rows, vectors, acc, a, lda, steps, b->weight, chain);
#ifdef DOT_CHAINS
  if (b->extras > 0)
    gemm_extras (rows, vectors, acc, a, lda, b);
#endif
  if (o->f32)
    gemm_store_f32 (rows, vectors, acc, b, o, out);
  else
    gemm_store_u8 (rows, vectors, acc, b, o, out);
}

/* All full tiles of ROWS that M has room for. */
#define GEMM_TILES(rows, most, vectors, chain)                                \
  for (; (rows) <= (most) && m >= (rows); m -= (rows)) {                      \
    gemm_tile (rows, vectors, chain, a, lda, steps, b, o, y);                 \
    a += (rows) * lda;                                                        \
    y += (rows) * o->pitch;                                                   \
  }

/* Functions of their own, so that the compiler hands out registers for one
 * kind of loop at a time. */
#define GEMM_COLUMNS(vectors, chain, most)                                    \
  static void gemm_##vectors##_##chain (                                      \
    const uint8_t *a, int64_t lda, int64_t m, int64_t steps,                  \
    const struct qk_gemm_block *b, const struct qk_output *o, uint8_t *y)     \
  {                                                                           \
    GEMM_TILES (12, most, vectors, chain)                                     \
    GEMM_TILES (8, most, vectors, chain)                                      \
    GEMM_TILES (6, most, vectors, chain)                                      \
    GEMM_TILES (4, most, vectors, chain)                                      \
    GEMM_TILES (2, most, vectors, chain)                                      \
    GEMM_TILES (1, most, vectors, chain)                                      \
  }

#ifdef DOT_CHAINS
#define GEMM_KINDS(vectors)                                                   \
  GEMM_COLUMNS (vectors, 1, GEMM_ROWS_##vectors)                              \
  GEMM_COLUMNS (vectors, 2, CHAIN_ROWS_##vectors)                             \
  GEMM_COLUMNS (vectors, 3, CHAIN_ROWS_##vectors)                             \
  GEMM_COLUMNS (vectors, 4, CHAIN_ROWS_##vectors)
#define GEMM_CALL(vectors)                                                    \
  (b->chain == 1   ? gemm_##vectors##_1                                       \
   : b->chain == 2 ? gemm_##vectors##_2                                       \
   : b->chain == 3 ? gemm_##vectors##_3                                       \
                   : gemm_##vectors##_4) (a, lda, m, steps, b, o, out)
#else
#define GEMM_KINDS(vectors) GEMM_COLUMNS (vectors, 1, GEMM_ROWS_##vectors)
#define GEMM_CALL(vectors) gemm_##vectors##_1 (a, lda, m, steps, b, o, out)
#endif

GEMM_KINDS (1)
GEMM_KINDS (2)
#if GEMM_ROWS_4
GEMM_KINDS (3)
GEMM_KINDS (4)
#endif

QK_GEMM_U8S8 (GEMM_NAME)
{
  switch (b->vectors) {
  case 1:
    GEMM_CALL (1);
    break;
  case 2:
    GEMM_CALL (2);
    break;
#if GEMM_ROWS_4
  case 3:
    GEMM_CALL (3);
    break;
  default:
    GEMM_CALL (4);
    break;
#endif
  }
}
