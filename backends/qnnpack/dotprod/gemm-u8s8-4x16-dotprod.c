/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-4x16-dotprod.c: qk_gemm_u8s8 for armv8.2 with dot products: four
 * k a step, of four rows or of one.
 *
 * sdot multiplies signed bytes, so that activations enter as a - 128 (their
 * top bit flipped); the bias brings 128 * sum w back. */
#include "config.h"

#include "../neon/vec128.h"

#define MOST_ROWS 4

/* Four k: bytes 4 * LANE .. of the rows X by the weights of 4 NV channels. */
/* clang-format off */
#define STEP(lane)                                                            \
  do {                                                                        \
    int8x16_t w[4];                                                           \
                                                                              \
    load_weights (weight, nv, w);                                             \
    weight += 4 * Q8_NR;                                                      \
    UNROLL                                                                    \
    for (int i = 0; i < mr; i++)                                              \
      UNROLL                                                                  \
      for (int v = 0; v < nv; v++)                                            \
        acc[i][v] = vdotq_laneq_s32 (acc[i][v], w[v], x[i], lane);            \
  } while (0)
/* clang-format on */

INLINE void
load_weights (const int8_t *from, const int nv, int8x16_t w[4])
{
  if (nv == 4) {
    const int8x16x4_t all = vld1q_s8_x4 (from);

    w[0] = all.val[0], w[1] = all.val[1], w[2] = all.val[2], w[3] = all.val[3];
  } else if (nv == 2) {
    const int8x16x2_t all = vld1q_s8_x2 (from);

    w[0] = all.val[0], w[1] = all.val[1];
  } else
    w[0] = vld1q_s8 (from);
}

/* A cell of each of MR rows. */
INLINE void
load_cells (const uint8_t *panel, const int mr, int8x16_t x[MOST_ROWS])
{
  if (mr == 4) {
    const int8x16x4_t all = vld1q_s8_x4 ((const int8_t *) panel);

    x[0] = all.val[0], x[1] = all.val[1], x[2] = all.val[2], x[3] = all.val[3];
  } else
    x[0] = vld1q_s8 ((const int8_t *) panel);
}

INLINE void
multiply (const uint8_t *panel, int64_t kc, const struct q8_gemm_block *b,
          vi acc[MOST_ROWS][4], const int mr, const int nv)
{
  const int8_t *weight = b->weight;
  int8x16_t x[MOST_ROWS];

  UNROLL
  for (int v = 0; v < 4; v++) {
    const vi bias = vld1q_s32 (b->bias + v * LANES);

    UNROLL
    for (int i = 0; i < mr; i++)
      acc[i][v] = bias;
  }
  for (int64_t cells = kc / Q8_CELL; cells > 0; cells--) {
    load_cells (panel, mr, x);
    panel += mr * Q8_CELL;
    STEP (0);
    STEP (1);
    STEP (2);
    STEP (3);
  }
  if ((kc %= Q8_CELL) == 0)
    return;
  load_cells (panel, mr, x);
  STEP (0);
  if (kc > 4)
    STEP (1);
  if (kc > 8)
    STEP (2);
  if (kc > 12)
    STEP (3);
}

/* All rows by a block of which no more than 4 NV channels are in use; WHOLE as in
 * v_store_rows. */
INLINE void
gemm (const uint8_t *panel, int64_t kc, int64_t rows,
      const struct q8_gemm_block *b, const struct q8_output *o, uint8_t *out,
      const int mr, const int nv, const bool whole)
{
  const struct v_gemm t = v_gemm_of (kc, b, o, mr);
  vi acc[MOST_ROWS][4];

  for (; rows >= mr; rows -= mr, panel += t.tile, out += mr * t.o.pitch) {
    multiply (panel, kc, &t.b, acc, mr, nv);
    v_store_rows (acc, mr, &t.b, &t.o, &t.g, out, mr, whole, true);
  }
  if (rows > 0) {
    multiply (panel, kc, &t.b, acc, mr, nv);
    v_store_rows (acc, rows, &t.b, &t.o, &t.g, out, mr, whole, false);
  }
}

#define GEMM(mr)                                                              \
  if (b->n <= 4)                                                              \
    gemm (panel, kc, rows, b, o, out, mr, 1, false);                          \
  else if (b->n <= 8)                                                         \
    gemm (panel, kc, rows, b, o, out, mr, 2, false);                          \
  else if (!v_is_whole (b, o))                                                \
    gemm (panel, kc, rows, b, o, out, mr, 4, false);                          \
  else                                                                        \
    gemm (panel, kc, rows, b, o, out, mr, 4, true)

QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__dotprod) { GEMM (4); }

QK_GEMM_U8S8 (qk_gemm_u8s8_1x16__dotprod) { GEMM (1); }
