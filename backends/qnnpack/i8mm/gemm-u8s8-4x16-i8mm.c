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
step (vi acc[PAIRS][8], const uint8x16_t x[PAIRS], const int8_t *weight,
      const int nv)
{
  UNROLL
  for (int v = 0; v < nv; v++, weight += 32) {
    const int8x16x2_t w = vld1q_s8_x2 (weight);

    UNROLL
    for (int i = 0; i < PAIRS; i++) {
      acc[i][2 * v] = vusmmlaq_s32 (acc[i][2 * v], x[i], w.val[0]);
      acc[i][2 * v + 1] = vusmmlaq_s32 (acc[i][2 * v + 1], x[i], w.val[1]);
    }
  }
}

INLINE uint64x2_t
as_u64 (uint8x16_t x)
{
  return vreinterpretq_u64_u8 (x);
}

/* KC bytes of each of four rows. */
INLINE void
multiply (const uint8_t *panel, int64_t kc, const struct q8_gemm_block *b,
          vi acc[PAIRS][8], const int nv)
{
  const int8_t *weight = b->weight;

  UNROLL
  for (int j = 0; j < 8; j++) {
    const int32x2_t bias = vld1_s32 (b->bias + 2 * j);

    UNROLL
    for (int i = 0; i < PAIRS; i++)
      acc[i][j] = vcombine_s32 (bias, bias);
  }
  for (; kc > 0; kc -= Q8_CELL, panel += MR * Q8_CELL, weight += 256) {
    const uint8x16x4_t x = vld1q_u8_x4 (panel);
    uint8x16_t low[PAIRS], high[PAIRS];

    UNROLL
    for (int i = 0; i < PAIRS; i++) {
      const uint64x2_t first = as_u64 (x.val[2 * i]);
      const uint64x2_t second = as_u64 (x.val[2 * i + 1]);

      low[i] = vreinterpretq_u8_u64 (vzip1q_u64 (first, second));
      high[i] = vreinterpretq_u8_u64 (vzip2q_u64 (first, second));
    }
    step (acc, low, weight, nv);
    if (kc > 8)
      step (acc, high, weight + 8 * Q8_NR, nv);
  }
}

/* Row I of the tile, channels in order. */
INLINE void
in_order (const vi acc[8], const int odd, vi row[4])
{
  UNROLL
  for (int v = 0; v < 4; v++) {
    const int64x2_t x = vreinterpretq_s64_s32 (acc[2 * v]);
    const int64x2_t y = vreinterpretq_s64_s32 (acc[2 * v + 1]);

    row[v]
      = vreinterpretq_s32_s64 (odd ? vzip2q_s64 (x, y) : vzip1q_s64 (x, y));
  }
}

/* A tile of four rows by a block of which no more than 4 NV channels are in
 * use. */
INLINE void
tile (const uint8_t *panel, const struct v_gemm *t, vi row[MR][4],
      const int nv)
{
  vi acc[PAIRS][8];

  multiply (panel, t->kc, &t->b, acc, nv);
  UNROLL
  for (int i = 0; i < MR; i++)
    in_order (acc[i / 2], i % 2, row[i]);
}

/* All rows; WHOLE as in v_store_rows. */
INLINE void
gemm (const uint8_t *panel, int64_t kc, int64_t rows,
      const struct q8_gemm_block *b, const struct q8_output *o, uint8_t *out,
      const int nv, const bool whole)
{
  const struct v_gemm t = v_gemm_of (kc, b, o, MR);
  vi row[MR][4];

  for (; rows >= MR; rows -= MR, panel += t.tile, out += MR * t.o.pitch) {
    tile (panel, &t, row, nv);
    v_store_rows (row, MR, &t.b, &t.o, &t.g, out, MR, whole, true);
  }
  if (rows > 0) {
    tile (panel, &t, row, nv);
    v_store_rows (row, rows, &t.b, &t.o, &t.g, out, MR, whole, false);
  }
}

QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__i8mm)
{
  if (b->n <= 4)
    gemm (panel, kc, rows, b, o, out, 1, false);
  else if (b->n <= 8)
    gemm (panel, kc, rows, b, o, out, 2, false);
  else if (!v_is_whole (b, o))
    gemm (panel, kc, rows, b, o, out, 4, false);
  else
    gemm (panel, kc, rows, b, o, out, 4, true);
}
