/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-tile.h: the products of a tile of rows, shared by the templates: include
 * a vector header and define v_dot, then include this. */
#ifndef GEMM_TILE_H
#define GEMM_TILE_H

/* Where the rows of a tile are.  Rows LDA apart are addressed from every
 * third, to spare address registers; others (LDA 0) each by themselves. */
struct gemm_rows {
  const uint8_t *p[12];
  int64_t lda;
};

INLINE const uint8_t *
gemm_row (const struct gemm_rows *r, const bool apart, const int i)
{
  return apart ? r->p[i] : r->p[i / 3] + i % 3 * r->lda;
}

INLINE void
gemm_advance (const int rows, struct gemm_rows *r, const bool apart,
              const int bytes)
{
  UNROLL
  for (int i = 0; i < rows; i++)
    if (apart)
      r->p[i] += bytes;
    else if (i % 3 == 0)
      r->p[i / 3] += bytes;
}

/* One step of all rows, added in int32. */
INLINE void
gemm_step (const int rows, const int vectors, vi acc[][4], struct gemm_rows *r,
           const bool apart, const int8_t *w)
{
  vi wv[4];

  UNROLL
  for (int v = 0; v < vectors; v++)
    wv[v] = v_load (w + v * BLOCK);
  UNROLL
  for (int i = 0; i < rows; i++) {
    const vi x = v_spread4 (gemm_row (r, apart, i));

    UNROLL
    for (int v = 0; v < vectors; v++)
      acc[i][v] = v_dot (acc[i][v], x, wv[v]);
  }
  gemm_advance (rows, r, apart, 4);
}

#ifdef DOT_CHAINS
/* One step of all rows of any bytes: even and odd ones as numbers of 16 bits. */
INLINE void
gemm_step_exact (const int rows, const int vectors, vi acc[][4],
                 struct gemm_rows *r, const bool apart, const int8_t *w)
{
  vi even[4], odd[4];

  UNROLL
  for (int v = 0; v < vectors; v++) {
    const vi wv = v_load (w + v * BLOCK);

    even[v] = v_here (v_sra16 (v_shl16 (wv, 8), 8));
    odd[v] = v_here (v_sra16 (wv, 8));
  }
  UNROLL
  for (int i = 0; i < rows; i++) {
    const vi x = v_spread4 (gemm_row (r, apart, i));
    const vi x0 = v_and (x, v_set16 (0xff)), x1 = v_srl16 (x, 8);

    UNROLL
    for (int v = 0; v < vectors; v++)
      acc[i][v] = v_here (v_add32 (
        acc[i][v], v_add32 (v_madd16 (x0, even[v]), v_madd16 (x1, odd[v]))));
  }
  gemm_advance (rows, r, apart, 4);
}

/* CHAIN steps of all rows, of which each row's are summed in int16 before the
 * sum is added in int32. */
INLINE void
gemm_chain (const int rows, const int vectors, vi acc[][4],
            struct gemm_rows *r, const bool apart, const int8_t *w,
            const int chain)
{
  UNROLL
  for (int i = 0; i < rows; i++) {
    vi sum[4];

    UNROLL
    for (int k = 0; k < chain; k++) {
      const vi x = v_spread4 (gemm_row (r, apart, i) + 4 * k);

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
  gemm_advance (rows, r, apart, 4 * chain);
}

/* The same with sums that start from MIDDLE.  Few rows at a time, so that all
 * of their sums and the weights they share are in registers. */
INLINE void
gemm_chain_about (const int rows, const int vectors, vi acc[][4],
                  struct gemm_rows *r, const bool apart, const int8_t *w,
                  const int chain, const int16_t *middle)
{
  vi sum[12][4];

  UNROLL
  for (int k = 0; k < chain; k++) {
    vi wv[4], from[4];

    UNROLL
    for (int v = 0; v < vectors; v++) {
      wv[v] = v_here (v_load (w + (k * vectors + v) * BLOCK));
      if (k == 0)
        from[v] = v_here (v_load (middle + v * 2 * LANES));
    }
    UNROLL
    for (int i = 0; i < rows; i++) {
      const vi x = v_here (v_spread4 (gemm_row (r, apart, i) + 4 * k));

      UNROLL
      for (int v = 0; v < vectors; v++)
        sum[i][v] = v_here (
          v_add16 (k == 0 ? from[v] : sum[i][v], v_pairs (x, wv[v])));
    }
  }
  UNROLL
  for (int i = 0; i < rows; i++) {
    UNROLL
    for (int v = 0; v < vectors; v++)
      acc[i][v] = v_here (v_add_pairs (acc[i][v], sum[i][v]));
  }
  gemm_advance (rows, r, apart, 4 * chain);
}
#endif

/* Weights to ask for while others are at work: STRIDE bytes a step from NEXT
 * on.  From far away they take longer than the products of the first tile that
 * needs them. */
struct gemm_ahead {
  const int8_t *next;
  int64_t stride;
};

/* As many bytes as the weights W at work have, from NEXT on, spread over TILES
 * tiles: asked for at once, they would wait for each other.  With a tile or
 * two every weight is as far away, and the CPU reads ahead by itself. */
INLINE struct gemm_ahead
gemm_ahead (const int8_t *w, const int8_t *next, const int vectors,
            int64_t tiles)
{
  const int64_t pitch = vectors * BLOCK;

  if (tiles < 2)
    return (struct gemm_ahead){ w, 0 };
  return (struct gemm_ahead){ next, tiles > vectors ? pitch / tiles : BLOCK };
}

/* Added to a chain: its sums start from a middle. */
#define GEMM_ABOUT 10

/* STEPS steps of the rows, CHAIN at a time. */
INLINE void
gemm_steps (const int rows, const int vectors, vi acc[][4],
            struct gemm_rows *r, const bool apart, int64_t steps,
            const int8_t *w, const int chain, const int16_t *middle,
            struct gemm_ahead *ahead)
{
  int64_t k = 0;

#ifdef DOT_CHAINS
  const bool about = chain > GEMM_ABOUT;
  const int run = chain % GEMM_ABOUT;

  if (run > 1)
    for (; k + run <= steps; k += run, w += run * vectors * BLOCK) {
      v_prefetch (ahead->next);
      ahead->next += run * ahead->stride;
      if (about) {
        gemm_chain_about (rows, vectors, acc, r, apart, w, run, middle);
        middle += vectors * 2 * LANES;
      } else
        gemm_chain (rows, vectors, acc, r, apart, w, run);
    }
#endif
  (void) chain;
  (void) middle;
  for (; k < steps; k++, w += vectors * BLOCK) {
    v_prefetch (ahead->next);
    ahead->next += ahead->stride;
#ifdef DOT_CHAINS
    if (chain == 0) {
      gemm_step_exact (rows, vectors, acc, r, apart, w);
      continue;
    }
#endif
    gemm_step (rows, vectors, acc, r, apart, w);
  }
}

#endif /* GEMM_TILE_H */
