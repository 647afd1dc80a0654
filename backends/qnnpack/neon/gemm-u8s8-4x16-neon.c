/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-4x16-neon.c: qk_gemm_u8s8 for armv8.0: bytes widened to 16 bits,
 * products added to 32 (smlal by lane). */
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

/* COUNT consecutive k (1 to 4) of every row, in X as int16. */
INLINE void
steps (vi acc[MR][4], const int16x4_t x[MR], const int8_t *weight,
       const int count)
{
  STEP (0);
  if (count > 1)
    STEP (1);
  if (count > 2)
    STEP (2);
  if (count > 3)
    STEP (3);
}

/* Eight bytes of every row. */
INLINE void
eight (vi acc[MR][4], const uint8_t *const p[MR], int64_t k,
       const int8_t *weight)
{
  int16x4_t low[MR], high[MR];

  UNROLL
  for (int i = 0; i < MR; i++) {
    const int16x8_t x = vreinterpretq_s16_u16 (vmovl_u8 (vld1_u8 (p[i] + k)));

    low[i] = vget_low_s16 (x);
    high[i] = vget_high_s16 (x);
  }
  steps (acc, low, weight, 4);
  steps (acc, high, weight + 4 * Q8_NR, 4);
}

static void
tail (vi acc[MR][4], const uint8_t *const p[MR], int64_t k, int64_t kc,
      const int8_t *weight)
{
  for (; k < kc; k++, weight += Q8_NR) {
    int16x4_t x[MR];

    UNROLL
    for (int i = 0; i < MR; i++)
      x[i] = vdup_n_s16 (p[i][k]);
    steps (acc, x, weight, 1);
  }
}

QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__neon)
{
  const int8_t *weight = b->weight;
  vi acc[MR][4];

  UNROLL
  for (int v = 0; v < 4; v++)
    acc[0][v] = acc[1][v] = acc[2][v] = acc[3][v]
      = vld1q_s32 (b->bias + v * LANES);
  for (int t = 0; t < taps; t++, a += MR) {
    int64_t k = 0;

    for (; k + 8 <= kc; k += 8)
      eight (acc, a, k, weight + k * Q8_NR);
    if (k < kc)
      tail (acc, a, k, kc, weight + k * Q8_NR);
    weight += kc * Q8_NR;
  }
  for (int i = 0; i < rows; i++)
    v_store_row (acc[i], b, o, out + i * o->pitch);
}
