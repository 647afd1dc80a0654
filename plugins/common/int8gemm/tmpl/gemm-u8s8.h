/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8.h: template of qk_gemm_u8s8: include a vector header, define
 * v_dot, GEMM_NAME and the rows of a tile for 1 to 4 vectors, GEMM_ROWS_1 …
 * (0 where the level has no such tile), then include this.
 *
 * A tile is rows x vectors accumulators in registers; a step multiplies four
 * bytes of every row, spread over the lanes, by a vector of weights.  Without
 * VNNI pairs of products are summed in int16 over several steps, as many as
 * packing has proved safe, before they are added to the accumulators. */
#include "int8gemm/kernels.h"
#include "gemm-tile.h"

#ifdef DOT_CHAINS
/* Extra step E on rows of which R says where its sixteen inputs are. */
INLINE void
gemm_extra (const int rows, const int vectors, vi acc[][4],
            const struct gemm_rows *r, const bool apart,
            const struct qk_gemm_block *b, int e)
{
  const int64_t at = (int64_t) e * vectors * BLOCK;

  UNROLL
  for (int i = 0; i < rows; i++) {
    const vi x = v_spread16 (gemm_row (r, apart, i));

    UNROLL
    for (int v = 0; v < vectors; v++)
      acc[i][v] = v_dot (acc[i][v],
                         v_pick (x, v_load (b->extra_index + at + v * BLOCK)),
                         v_load (b->extra + at + v * BLOCK));
  }
}
#endif

/* Where row I of a tile goes; PLACE NULL: one after the other. */
INLINE uint8_t *
gemm_place (const struct qk_output *o, const int32_t *place, const int i,
            uint8_t *out)
{
  return out + (place != NULL ? place[i] : i) * o->pitch;
}

INLINE void
gemm_store_32 (const int rows, const int vectors, vi acc[][4],
               const struct qk_gemm_block *b, const struct qk_output *o,
               uint8_t *out)
{
  UNROLL
  for (int v = 0; v < vectors; v++) {
    const vf m = vf_load (b->multiplier + v * LANES);

    UNROLL
    for (int i = 0; i < rows; i++)
      vf_store_part ((float *) (void *) (out + i * o->pitch) + v * LANES,
                     o->store == QK_STORE_I32
                       ? v_as_float (acc[i][v])
                       : vf_mul (v_float (acc[i][v]), m),
                     b->n - v * LANES);
  }
}

/* Products are below 2^31 (certified when packing), so that the rounding
 * conversion cannot overflow; the rest saturates step by step. */
INLINE void
gemm_store_u8 (const int rows, const int vectors, vi acc[][4],
               const struct qk_gemm_block *b, const struct qk_output *o,
               const int32_t *place, uint8_t *out)
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

      part[j]
        = acc[vectors < 3 && row < rows ? row : i][vectors < 3   ? j % vectors
                                                   : j < vectors ? j
                                                                 : 0];
    }
    r = v_narrow4_ordered (part[0], part[1], part[2], part[3], zp);
    r = v_min_u8 (v_max_u8 (r, lo), hi);
    if (together == 1)
      v_store_part (gemm_place (o, place, i, out), r, n);
    UNROLL
    for (int j = 0; j < together; j++)
      if (i + j < rows) {
        if (together == 2)
          v_store_half (gemm_place (o, place, i + j, out), r, j, n);
        if (together == 4)
          v_store_quarter (gemm_place (o, place, i + j, out), r, j, n);
      }
  }
}

INLINE void
gemm_start (const int rows, const int vectors, vi acc[][4],
            const struct qk_gemm_block *b)
{
  UNROLL
  for (int v = 0; v < vectors; v++) {
    const vi bias = v_load (b->bias + v * LANES);

    UNROLL
    for (int i = 0; i < rows; i++)
      acc[i][v] = bias;
  }
}

INLINE void
gemm_rows_at (const int rows, struct gemm_rows *r, const uint8_t *a,
              int64_t lda)
{
  r->lda = lda;
  UNROLL
  for (int i = 0; i < rows; i += 3)
    r->p[i / 3] = a + i * lda;
}

INLINE void
gemm_tile (const int rows, const int vectors, const int chain, const bool wide,
           const uint8_t *a, int64_t lda, int64_t steps,
           const struct qk_gemm_block *b, const struct qk_output *o,
           uint8_t *out, struct gemm_ahead *ahead)
{
  struct gemm_rows r;
  vi acc[12][4];

  gemm_start (rows, vectors, acc, b);
  gemm_rows_at (rows, &r, a, lda);
  gemm_steps (rows, vectors, acc, &r, false, steps, b->weight, chain,
              b->middle, ahead);
#ifdef DOT_CHAINS
  for (int e = 0; e < b->extras; e++) {
    gemm_rows_at (rows, &r, a + b->extra_at[e], lda);
    gemm_extra (rows, vectors, acc, &r, false, b, e);
  }
#endif
  if (wide)
    gemm_store_32 (rows, vectors, acc, b, o, out);
  else
    gemm_store_u8 (rows, vectors, acc, b, o, NULL, out);
}

/* All full tiles of ROWS that M has room for. */
#define GEMM_TILES(rows, most, vectors, chain, wide)                          \
  for (; (rows) <= (most) && m >= (rows); m -= (rows)) {                      \
    gemm_tile (rows, vectors, chain, wide, a, lda, steps, b, o, y, &ahead);   \
    a += (rows) *lda;                                                         \
    y += (rows) *o->pitch;                                                    \
  }

/* Functions of their own, so that the compiler hands out registers for one
 * kind of loop at a time; sums that wait for either way to store them would be
 * spilled. */
#define GEMM_COLUMNS(name, vectors, chain, most, wide)                        \
  static void name##_##vectors##_##chain (                                    \
    const uint8_t *a, int64_t lda, int64_t m, int64_t steps,                  \
    const struct qk_gemm_block *b, const struct qk_output *o, uint8_t *y)     \
  {                                                                           \
    struct gemm_ahead ahead                                                   \
      = gemm_ahead (b->weight, b->next, vectors, m / (most));                 \
                                                                              \
    GEMM_TILES (12, most, vectors, chain, wide)                               \
    GEMM_TILES (8, most, vectors, chain, wide)                                \
    GEMM_TILES (6, most, vectors, chain, wide)                                \
    GEMM_TILES (4, most, vectors, chain, wide)                                \
    GEMM_TILES (3, most, vectors, chain, wide)                                \
    GEMM_TILES (2, most, vectors, chain, wide)                                \
    GEMM_TILES (1, most, vectors, chain, wide)                                \
  }

#define GEMM_BOTH(vectors, chain, most)                                       \
  GEMM_COLUMNS (gemm, vectors, chain, most, false)                            \
  GEMM_COLUMNS (gemm_32, vectors, chain, most, true)

/* 0: exact without proof; 12 to 14: chains of 2 to 4 and GEMM_ABOUT. */
#ifdef DOT_CHAINS
#define GEMM_KINDS(vectors)                                                   \
  GEMM_BOTH (vectors, 0, EXACT_ROWS_##vectors)                                \
  GEMM_BOTH (vectors, 1, GEMM_ROWS_##vectors)                                 \
  GEMM_BOTH (vectors, 2, CHAIN_ROWS_##vectors)                                \
  GEMM_BOTH (vectors, 3, CHAIN_ROWS_##vectors)                                \
  GEMM_BOTH (vectors, 4, CHAIN_ROWS_##vectors)                                \
  GEMM_BOTH (vectors, 12, ABOUT_ROWS_##vectors)                               \
  GEMM_BOTH (vectors, 13, ABOUT_ROWS_##vectors)                               \
  GEMM_BOTH (vectors, 14, ABOUT_ROWS_##vectors)
#define GEMM_KIND(name, vectors)                                              \
  (b->chain == 0       ? name##_##vectors##_0                                 \
   : b->chain == 1     ? name##_##vectors##_1                                 \
   : b->middle != NULL ? (b->chain == 2   ? name##_##vectors##_12             \
                          : b->chain == 3 ? name##_##vectors##_13             \
                                          : name##_##vectors##_14)            \
   : b->chain == 2     ? name##_##vectors##_2                                 \
   : b->chain == 3     ? name##_##vectors##_3                                 \
                       : name##_##vectors##_4)
#else
#define GEMM_KINDS(vectors) GEMM_BOTH (vectors, 1, GEMM_ROWS_##vectors)
#define GEMM_KIND(name, vectors) name##_##vectors##_1
#endif

GEMM_KINDS (1)
GEMM_KINDS (2)
#if GEMM_ROWS_4
GEMM_KINDS (3)
GEMM_KINDS (4)
#endif

/* Call NAME for the vectors and the chain of block B. */
#if GEMM_ROWS_4
#define GEMM_CALL(name, ...)                                                  \
  (b->vectors == 1   ? GEMM_KIND (name, 1)                                    \
   : b->vectors == 2 ? GEMM_KIND (name, 2)                                    \
   : b->vectors == 3 ? GEMM_KIND (name, 3)                                    \
                     : GEMM_KIND (name, 4)) (__VA_ARGS__)
#else
#define GEMM_CALL(name, ...)                                                  \
  (b->vectors == 1 ? GEMM_KIND (name, 1) : GEMM_KIND (name, 2)) (__VA_ARGS__)
#endif

QK_GEMM_U8S8 (GEMM_NAME)
{
  if (o->store != QK_STORE_U8)
    GEMM_CALL (gemm_32, a, lda, m, steps, b, o, out);
  else
    GEMM_CALL (gemm, a, lda, m, steps, b, o, out);
}

#ifdef GEMM_TAPS_NAME
/* The rows' piece AT; whether it is worth looking at. */
INLINE bool
gemm_piece (const int rows, struct gemm_rows *r, const uint8_t *const *at,
            const uint8_t *skip)
{
  bool any = false;

  UNROLL
  for (int i = 0; i < rows; i++) {
    any |= at[i] != skip;
    r->p[i] = at[i];
  }
  return any;
}

INLINE void
gemm_taps_tile (const int rows, const int vectors,
                const struct qk_gemm_taps *t, int64_t first, int64_t steps,
                const struct qk_gemm_block *b, const struct qk_output *o,
                uint8_t *out, struct gemm_ahead *ahead)
{
  const uint8_t *const *at = t->at + first;
  const int8_t *w = b->weight;
  struct gemm_rows r = { .lda = 0 };
  vi acc[12][4];

  gemm_start (rows, vectors, acc, b);
  for (int i = 0; i < t->taps;
       i++, at += t->pitch, w += steps * vectors * BLOCK)
    if (gemm_piece (rows, &r, at, t->skip))
      gemm_steps (rows, vectors, acc, &r, true, steps, w, 1, NULL, ahead);
  gemm_store_u8 (rows, vectors, acc, b, o, t->place + first, out);
}

#define GEMM_TAPS_TILES(rows, most, vectors)                                  \
  for (; (rows) <= (most) && m - i >= (rows); i += (rows))                    \
    gemm_taps_tile (rows, vectors, t, i, steps, b, o, y, &ahead);

#define GEMM_TAPS_COLUMNS(vectors, most)                                      \
  static void gemm_taps_##vectors##_1 (                                       \
    const struct qk_gemm_taps *t, int64_t m, int64_t steps,                   \
    const struct qk_gemm_block *b, const struct qk_output *o, uint8_t *y)     \
  {                                                                           \
    struct gemm_ahead ahead                                                   \
      = gemm_ahead (b->weight, b->next, vectors, m / (most));                 \
    int64_t i = 0;                                                            \
                                                                              \
    GEMM_TAPS_TILES (8, most, vectors)                                        \
    GEMM_TAPS_TILES (6, most, vectors)                                        \
    GEMM_TAPS_TILES (4, most, vectors)                                        \
    GEMM_TAPS_TILES (2, most, vectors)                                        \
    GEMM_TAPS_TILES (1, most, vectors)                                        \
  }

GEMM_TAPS_COLUMNS (1, GEMM_ROWS_1)
GEMM_TAPS_COLUMNS (2, GEMM_ROWS_2)
#if GEMM_ROWS_4
GEMM_TAPS_COLUMNS (3, GEMM_ROWS_3)
GEMM_TAPS_COLUMNS (4, GEMM_ROWS_4)
#endif

QK_GEMM_TAPS_U8S8 (GEMM_TAPS_NAME)
{
  GEMM_CALL (gemm_taps, t, m, steps, b, o, out);
}
#endif

#ifdef GEMM_LINES_NAME
INLINE void
gemm_lines_tile (const int rows, const int vectors,
                 const struct qk_gemm_lines *l, const uint8_t *a,
                 int64_t steps, const struct qk_gemm_block *b,
                 const struct qk_output *o, uint8_t *out)
{
  const int8_t *w = b->weight;
  struct gemm_ahead none = { w, 0 }; /* they are few */
  struct gemm_rows r;
  vi acc[12][4];

  gemm_start (rows, vectors, acc, b);
  for (int i = 0; i < l->lines;
       i++, a += l->pitch, w += steps * vectors * BLOCK) {
    gemm_rows_at (rows, &r, a, l->lda);
    gemm_steps (rows, vectors, acc, &r, false, steps, w, 1, NULL, &none);
  }
  gemm_store_u8 (rows, vectors, acc, b, o, NULL, out);
}

#define GEMM_LINES_TILES(rows, most, vectors)                                 \
  for (; (rows) <= (most) && m - i >= (rows); i += (rows))                    \
    gemm_lines_tile (rows, vectors, l, l->a + i * l->lda, steps, b, o,        \
                     y + i * o->pitch);

#define GEMM_LINES_COLUMNS(vectors, most)                                     \
  static void gemm_lines_##vectors##_1 (                                      \
    const struct qk_gemm_lines *l, int64_t m, int64_t steps,                  \
    const struct qk_gemm_block *b, const struct qk_output *o, uint8_t *y)     \
  {                                                                           \
    int64_t i = 0;                                                            \
                                                                              \
    GEMM_LINES_TILES (12, most, vectors)                                      \
    GEMM_LINES_TILES (8, most, vectors)                                       \
    GEMM_LINES_TILES (6, most, vectors)                                       \
    GEMM_LINES_TILES (4, most, vectors)                                       \
    GEMM_LINES_TILES (2, most, vectors)                                       \
    GEMM_LINES_TILES (1, most, vectors)                                       \
  }

GEMM_LINES_COLUMNS (1, GEMM_ROWS_1)
GEMM_LINES_COLUMNS (2, GEMM_ROWS_2)
#if GEMM_ROWS_4
GEMM_LINES_COLUMNS (3, GEMM_ROWS_3)
GEMM_LINES_COLUMNS (4, GEMM_ROWS_4)
#endif

QK_GEMM_LINES_U8S8 (GEMM_LINES_NAME)
{
  GEMM_CALL (gemm_lines, l, m, steps, b, o, out);
}
#endif

#ifdef GEMM_U8S4_NAME
/* The weights of an even step and of the odd one after it. */
INLINE void
gemm_halves (const int8_t *w, vi *even, vi *odd)
{
  const vi x = v_load (w), low = v_set8 (15), zero = v_set8 (8);

  *even = v_sub8 (v_and (x, low), zero);
  *odd = v_sub8 (v_and (v_srl16 (x, 4), low), zero);
}

/* Both steps of a row; a sum of four products of so small weights fits
 * int16. */
INLINE vi
gemm_dot_halves (vi acc, const uint8_t *a, vi even, vi odd)
{
#ifdef DOT_CHAINS
  return v_here (
    v_add_pairs (acc, v_add16 (v_pairs (v_spread4 (a), even),
                               v_pairs (v_spread4 (a + 4), odd))));
#else
  return v_dot (v_dot (acc, v_spread4 (a), even), v_spread4 (a + 4), odd);
#endif
}

INLINE void
gemm_halves_tile (const int rows, const int vectors, const bool wide,
                  const uint8_t *a, int64_t lda, int64_t steps,
                  const struct qk_gemm_block *b, const struct qk_output *o,
                  uint8_t *out)
{
  const int8_t *w = b->weight;
  vi acc[12][4], even[4], odd[4];
  int64_t k = 0;

  gemm_start (rows, vectors, acc, b);
  for (; k + 2 <= steps; k += 2, w += vectors * BLOCK) {
    UNROLL
    for (int v = 0; v < vectors; v++)
      gemm_halves (w + v * BLOCK, &even[v], &odd[v]);
    UNROLL
    for (int i = 0; i < rows; i++)
      UNROLL
    for (int v = 0; v < vectors; v++)
      acc[i][v]
        = gemm_dot_halves (acc[i][v], a + i * lda + 4 * k, even[v], odd[v]);
  }
  if (k < steps) {
    UNROLL
    for (int v = 0; v < vectors; v++)
      gemm_halves (w + v * BLOCK, &even[v], &odd[v]);
    UNROLL
    for (int i = 0; i < rows; i++)
      UNROLL
    for (int v = 0; v < vectors; v++)
      acc[i][v] = v_dot (acc[i][v], v_spread4 (a + i * lda + 4 * k), even[v]);
  }
  if (wide)
    gemm_store_32 (rows, vectors, acc, b, o, out);
  else
    gemm_store_u8 (rows, vectors, acc, b, o, NULL, out);
}

/* Tiles of four rows where there are registers for so many sums. */
#if GEMM_ROWS_4
#define GEMM_HALVES_FOUR(vectors, wide)                                       \
  for (; m >= 4; m -= 4, a += 4 * lda, y += 4 * o->pitch)                     \
    gemm_halves_tile (4, vectors, wide, a, lda, steps, b, o, y);
#else
#define GEMM_HALVES_FOUR(vectors, wide)
#endif

#define GEMM_HALVES_COLUMNS(name, vectors, wide)                              \
  static void name##_##vectors##_1 (                                          \
    const uint8_t *a, int64_t lda, int64_t m, int64_t steps,                  \
    const struct qk_gemm_block *b, const struct qk_output *o, uint8_t *y)     \
  {                                                                           \
    GEMM_HALVES_FOUR (vectors, wide)                                          \
    for (; m >= 2; m -= 2, a += 2 * lda, y += 2 * o->pitch)                   \
      gemm_halves_tile (2, vectors, wide, a, lda, steps, b, o, y);            \
    if (m > 0)                                                                \
      gemm_halves_tile (1, vectors, wide, a, lda, steps, b, o, y);            \
  }

GEMM_HALVES_COLUMNS (gemm_halves, 1, false)
GEMM_HALVES_COLUMNS (gemm_halves, 2, false)
GEMM_HALVES_COLUMNS (gemm_halves_32, 1, true)
GEMM_HALVES_COLUMNS (gemm_halves_32, 2, true)
#if GEMM_ROWS_4
GEMM_HALVES_COLUMNS (gemm_halves, 3, false)
GEMM_HALVES_COLUMNS (gemm_halves, 4, false)
GEMM_HALVES_COLUMNS (gemm_halves_32, 3, true)
GEMM_HALVES_COLUMNS (gemm_halves_32, 4, true)
#define GEMM_HALVES_CALL(name, ...)                                           \
  (b->vectors == 1   ? name##_1_1                                             \
   : b->vectors == 2 ? name##_2_1                                             \
   : b->vectors == 3 ? name##_3_1                                             \
                     : name##_4_1) (__VA_ARGS__)
#else
#define GEMM_HALVES_CALL(name, ...)                                           \
  (b->vectors == 1 ? name##_1_1 : name##_2_1) (__VA_ARGS__)
#endif

QK_GEMM_U8S8 (GEMM_U8S4_NAME)
{
  if (o->store != QK_STORE_U8)
    GEMM_HALVES_CALL (gemm_halves_32, a, lda, m, steps, b, o, out);
  else
    GEMM_HALVES_CALL (gemm_halves, a, lda, m, steps, b, o, out);
}
#endif
