/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-4x16-neon-lane.c: qk_gemm_u8s8 for armv8.0 with any weights: bytes
 * widened to 16 bits, products added to 32 (smlal by lane). */
#include "config.h"

#include "vec128.h"

#define MR 4

/* One k: row I's byte, lane LANE of X, by the weights of 16 channels. */
#define ROW(i, lane)                                                          \
  acc[i][0] = vmlal_lane_s16 (acc[i][0], w0, x[i], lane);                     \
  acc[i][1] = vmlal_lane_s16 (acc[i][1], w1, x[i], lane);                     \
  acc[i][2] = vmlal_lane_s16 (acc[i][2], w2, x[i], lane);                     \
  acc[i][3] = vmlal_lane_s16 (acc[i][3], w3, x[i], lane)

#define STEP(lane)                                                            \
  do {                                                                        \
    const int8x16_t w = vld1q_s8 (weight + (lane) *Q8_NR);                    \
    const int16x8_t lo = vmovl_s8 (vget_low_s8 (w)), hi = vmovl_high_s8 (w);  \
    const int16x4_t w0 = vget_low_s16 (lo), w1 = vget_high_s16 (lo);          \
    const int16x4_t w2 = vget_low_s16 (hi), w3 = vget_high_s16 (hi);          \
                                                                              \
    ROW (0, lane);                                                            \
    ROW (1, lane);                                                            \
    ROW (2, lane);                                                            \
    ROW (3, lane);                                                            \
  } while (0)

/* Four k of every row, in X as int16. */
INLINE void
four (vi acc[MR][4], const int16x4_t x[MR], const int8_t *weight)
{
  STEP (0);
  STEP (1);
  STEP (2);
  STEP (3);
}

/* Eight k of every row, from the cells at A on. */
INLINE void
eight (vi acc[MR][4], const uint8_t *a, const int8_t *weight)
{
  int16x4_t low[MR], high[MR];

  UNROLL
  for (int i = 0; i < MR; i++) {
    const int16x8_t x
      = vreinterpretq_s16_u16 (vmovl_u8 (vld1_u8 (a + i * Q8_CELL)));

    low[i] = vget_low_s16 (x);
    high[i] = vget_high_s16 (x);
  }
  four (acc, low, weight);
  four (acc, high, weight + 4 * Q8_NR);
}

QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__neon_lane)
{
  const struct v_grid g = v_grid_of (o);

  for (; rows > 0; rows -= MR, out += MR * o->pitch) {
    const int8_t *weight = b->weight;
    vi acc[MR][4];

    UNROLL
    for (int v = 0; v < 4; v++)
      acc[0][v] = acc[1][v] = acc[2][v] = acc[3][v]
        = vld1q_s32 (b->bias + v * LANES);
    for (int64_t k = 0; k < kc; k += Q8_CELL, panel += MR * Q8_CELL) {
      eight (acc, panel, weight);
      eight (acc, panel + 8, weight + 8 * Q8_NR);
      weight += Q8_CELL * Q8_NR;
    }
    v_store_rows (acc, rows, b, o, &g, out, MR, false, false);
  }
}
