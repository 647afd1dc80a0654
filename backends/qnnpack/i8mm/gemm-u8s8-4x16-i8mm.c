/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm-u8s8-4x16-i8mm.c: qk_gemm_u8s8 for ARM with i8mm: usmmla multiplies
 * two rows of eight unsigned bytes by two channels of eight signed ones. */
#include "config.h"

#include "../neon/vec128.h"

#define MR 4
#define PAIRS (MR / 2)

/* Eight k: X[i] holds rows 2i and 2i+1; acc[i][j] holds those rows of
 * channels 2j and 2j+1. */
INLINE void
step (vi acc[PAIRS][8], const uint8x16_t x[PAIRS], const int8_t *weight)
{
  UNROLL
  for (int j = 0; j < 8; j++) {
    const int8x16_t w = vld1q_s8 (weight + j * 16);

    UNROLL
    for (int i = 0; i < PAIRS; i++)
      acc[i][j] = vusmmlaq_s32 (acc[i][j], x[i], w);
  }
}

INLINE uint64x2_t
as_u64 (uint8x16_t x)
{
  return vreinterpretq_u64_u8 (x);
}

/* 16 bytes of every row. */
INLINE void
sixteen (vi acc[PAIRS][8], const uint8_t *const p[MR], int64_t k,
         const int8_t *weight)
{
  uint8x16_t low[PAIRS], high[PAIRS];

  UNROLL
  for (int i = 0; i < PAIRS; i++) {
    const uint64x2_t x = as_u64 (vld1q_u8 (p[2 * i] + k));
    const uint64x2_t y = as_u64 (vld1q_u8 (p[2 * i + 1] + k));

    low[i] = vreinterpretq_u8_u64 (vzip1q_u64 (x, y));
    high[i] = vreinterpretq_u8_u64 (vzip2q_u64 (x, y));
  }
  step (acc, low, weight);
  step (acc, high, weight + 8 * Q8_NR);
}

/* COUNT bytes of every row, 0 < COUNT <= 8. */
INLINE void
eight (vi acc[PAIRS][8], const uint8_t *const p[MR], int64_t k, int64_t count,
       const int8_t *weight)
{
  uint8x16_t x[PAIRS];

  UNROLL
  for (int i = 0; i < PAIRS; i++) {
    const uint8_t *p0 = p[2 * i] + k, *p1 = p[2 * i + 1] + k;

    x[i] = count == 8
             ? vcombine_u8 (vld1_u8 (p0), vld1_u8 (p1))
             : vcombine_u8 (v_load_few (p0, count), v_load_few (p1, count));
  }
  step (acc, x, weight);
}

/* Row I of the tile, channels in order. */
INLINE void
store_row (vi acc[8], const int odd, const struct q8_gemm_block *b,
           const struct q8_output *o, uint8_t *out)
{
  vi row[4];

  UNROLL
  for (int v = 0; v < 4; v++) {
    const int64x2_t x = vreinterpretq_s64_s32 (acc[2 * v]);
    const int64x2_t y = vreinterpretq_s64_s32 (acc[2 * v + 1]);

    row[v]
      = vreinterpretq_s32_s64 (odd ? vzip2q_s64 (x, y) : vzip1q_s64 (x, y));
  }
  v_store_row (row, b, o, out);
}

QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__i8mm)
{
  const int8_t *weight = b->weight;
  const int64_t bytes = (kc + 7) / 8 * 128; /* of a tap's weights */
  vi acc[PAIRS][8];

  UNROLL
  for (int j = 0; j < 8; j++) {
    const int32x2_t bias = vld1_s32 (b->bias + 2 * j);

    UNROLL
    for (int i = 0; i < PAIRS; i++)
      acc[i][j] = vcombine_s32 (bias, bias);
  }
  for (int t = 0; t < taps; t++, a += MR, weight += bytes) {
    int64_t k = 0;

    for (; k + 16 <= kc; k += 16)
      sixteen (acc, a, k, weight + k * Q8_NR);
    for (; k < kc; k += 8)
      eight (acc, a, k, kc - k < 8 ? kc - k : 8, weight + k * Q8_NR);
  }
  UNROLL
  for (int i = 0; i < MR; i++)
    if (i < rows)
      store_row (acc[i / 2], i % 2, b, o, out + i * o->pitch);
}
