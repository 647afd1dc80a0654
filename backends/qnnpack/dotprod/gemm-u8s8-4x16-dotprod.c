/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-4x16-dotprod.c: qk_gemm_u8s8 for armv8.2 with dot products: four
 * k a step.
 *
 * sdot multiplies signed bytes, so that activations enter as a - 128 (their
 * top bit flipped); the bias brings 128 * sum w back. */
#include "config.h"

#include "../neon/vec128.h"

#define MR 4

/* Four k: row I's bytes 4 * LANE .. of X by the weights of 16 channels. */
#define ROW(i, lane)                                                          \
  acc[i][0] = vdotq_laneq_s32 (acc[i][0], w0, x[i], lane);                    \
  acc[i][1] = vdotq_laneq_s32 (acc[i][1], w1, x[i], lane);                    \
  acc[i][2] = vdotq_laneq_s32 (acc[i][2], w2, x[i], lane);                    \
  acc[i][3] = vdotq_laneq_s32 (acc[i][3], w3, x[i], lane)

#define STEP(lane)                                                            \
  do {                                                                        \
    const int8x16_t w0 = vld1q_s8 (weight + (lane) *64);                      \
    const int8x16_t w1 = vld1q_s8 (weight + (lane) *64 + 16);                 \
    const int8x16_t w2 = vld1q_s8 (weight + (lane) *64 + 32);                 \
    const int8x16_t w3 = vld1q_s8 (weight + (lane) *64 + 48);                 \
                                                                              \
    ROW (0, lane);                                                            \
    ROW (1, lane);                                                            \
    ROW (2, lane);                                                            \
    ROW (3, lane);                                                            \
  } while (0)

/* 16 bytes of every row. */
INLINE void
sixteen (vi acc[MR][4], const uint8_t *const p[MR], int64_t k,
         const int8_t *weight)
{
  int8x16_t x[MR];

  UNROLL
  for (int i = 0; i < MR; i++)
    x[i] = vreinterpretq_s8_u8 (
      veorq_u8 (vld1q_u8 (p[i] + k), vdupq_n_u8 (0x80)));
  STEP (0);
  STEP (1);
  STEP (2);
  STEP (3);
}

/* The last COUNT bytes, 0 < COUNT < 16. */
static void
tail (vi acc[MR][4], const uint8_t *const p[MR], int64_t k, int64_t count,
      const int8_t *weight)
{
  int8x16_t x[MR];

  UNROLL
  for (int i = 0; i < MR; i++)
    x[i] = vreinterpretq_s8_u8 (
      veorq_u8 (v_bytes (v_load_part (p[i] + k, count)), vdupq_n_u8 (0x80)));
  STEP (0);
  if (count > 4)
    STEP (1);
  if (count > 8)
    STEP (2);
  if (count > 12)
    STEP (3);
}

QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__dotprod)
{
  const int8_t *weight = b->weight;
  const int64_t bytes = (kc + 3) / 4 * 64; /* of a tap's weights */
  vi acc[MR][4];

  UNROLL
  for (int v = 0; v < 4; v++) {
    const vi bias = vld1q_s32 (b->bias + v * LANES);

    UNROLL
    for (int i = 0; i < MR; i++)
      acc[i][v] = bias;
  }
  for (int t = 0; t < taps; t++, a += MR, weight += bytes) {
    int64_t k = 0;

    for (; k + 16 <= kc; k += 16)
      sixteen (acc, a, k, weight + k * Q8_NR);
    if (k < kc)
      tail (acc, a, k, kc - k, weight + k * Q8_NR);
  }
  UNROLL
  for (int i = 0; i < MR; i++)
    if (i < rows)
      v_store_row (acc[i], b, o, out + i * o->pitch);
}
