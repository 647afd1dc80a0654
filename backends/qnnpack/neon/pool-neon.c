/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pool-neon.c: pooling for neon: rows first, whose results windows side by side
 * share, then columns; and sums over many rows. */
#include "config.h"

#include "vec128.h"

/* ---- maxima ------------------------------------------------------------- */

/* The maxima of COUNT vectors at X, of ROWS each. */
INLINE void
max_rows_block (const uint8_t *x, const int rows, int64_t pitch,
                const int count, uint8_t *out)
{
  uint8x16_t best[4];

  UNROLL
  for (int v = 0; v < count; v++)
    best[v] = vld1q_u8 (x + v * BLOCK);
  for (int r = 1; r < rows; r++) {
    x += pitch;
    UNROLL
    for (int v = 0; v < count; v++)
      best[v] = vmaxq_u8 (best[v], vld1q_u8 (x + v * BLOCK));
  }
  UNROLL
  for (int v = 0; v < count; v++)
    vst1q_u8 (out + v * BLOCK, best[v]);
}

INLINE void
max_rows_loop (const uint8_t *x, const int rows, int64_t pitch, int64_t n,
               uint8_t *out)
{
  int64_t i = 0;

  for (; i + 4 * BLOCK <= n; i += 4 * BLOCK)
    max_rows_block (x + i, rows, pitch, 4, out + i);
  for (; i + BLOCK <= n; i += BLOCK)
    max_rows_block (x + i, rows, pitch, 1, out + i);
  if (i == n)
    return;
  if (n >= BLOCK)
    max_rows_block (x + n - BLOCK, rows, pitch, 1, out + n - BLOCK);
  else {
    vi best = v_load_part (x, n);

    for (int r = 1; r < rows; r++)
      best = v_max_u8 (best, v_load_part (x + r * pitch, n));
    v_store_part (out, best, n);
  }
}

QK_MAX_ROWS_U8 (qk_max_rows_u8__neon)
{
  if (rows == 3)
    max_rows_loop (x, 3, pitch, n, out);
  else if (rows == 2)
    max_rows_loop (x, 2, pitch, n, out);
  else
    max_rows_loop (x, rows, pitch, n, out);
}

/* The maxima of COUNT vectors at X, of COLS each. */
INLINE void
max_cols_block (const uint8_t *x, const int cols, int64_t pitch,
                const int count, uint8x16_t lo, uint8x16_t hi,
                uint8x16_t *best)
{
  UNROLL
  for (int v = 0; v < count; v++)
    best[v] = vmaxq_u8 (lo, vld1q_u8 (x + v * BLOCK));
  for (int s = 1; s < cols; s++) {
    x += pitch;
    UNROLL
    for (int v = 0; v < count; v++)
      best[v] = vmaxq_u8 (best[v], vld1q_u8 (x + v * BLOCK));
  }
  UNROLL
  for (int v = 0; v < count; v++)
    best[v] = vminq_u8 (best[v], hi);
}

/* COUNT vectors of channels of all outputs. */
INLINE void
max_cols_loop (const struct qk_columns *k, const uint8_t *x, const int cols,
               const int count, uint8x16_t lo, uint8x16_t hi, uint8_t *out)
{
  const int64_t pitch = k->pitch, step = k->step, channels = k->channels;
  uint8x16_t best[4];

  for (int64_t q = k->outputs; q > 0; q--, x += step, out += channels) {
    max_cols_block (x, cols, pitch, count, lo, hi, best);
    UNROLL
    for (int v = 0; v < count; v++)
      vst1q_u8 (out + v * BLOCK, best[v]);
  }
}

/* Channels that fill no vector: what is stored beyond them is stored again for
 * the next output, and not at all for the last ones. */
INLINE void
max_cols_few (const struct qk_columns *k, const uint8_t *x, const int cols,
              uint8x16_t lo, uint8x16_t hi, uint8_t *out)
{
  int64_t left = k->outputs * k->channels;

  for (; left > 0; left -= k->channels, x += k->step, out += k->channels) {
    uint8x16_t best[1];

    max_cols_block (x, cols, k->pitch, 1, lo, hi, best);
    v_store_part (out, v_of_bytes (best[0]), left);
  }
}

INLINE void
max_cols_of (const struct qk_columns *k, const uint8_t *x, const int cols,
             int lo, int hi, uint8_t *out)
{
  const uint8x16_t l = vdupq_n_u8 ((uint8_t) lo),
                   h = vdupq_n_u8 ((uint8_t) hi);
  int64_t c = 0;

  if (k->channels < BLOCK) {
    max_cols_few (k, x, cols, l, h, out);
    return;
  }
  for (; c + 4 * BLOCK <= k->channels; c += 4 * BLOCK)
    max_cols_loop (k, x + c, cols, 4, l, h, out + c);
  for (; c + BLOCK <= k->channels; c += BLOCK)
    max_cols_loop (k, x + c, cols, 1, l, h, out + c);
  c = k->channels - BLOCK;
  if (k->channels % BLOCK != 0)
    max_cols_loop (k, x + c, cols, 1, l, h, out + c);
}

QK_MAX_COLS_U8 (qk_max_cols_u8__neon)
{
  struct qk_columns flat = *k;

  if (k->step == k->channels) { /* outputs as far apart as inputs: one row */
    flat.channels *= k->outputs;
    flat.outputs = 1;
  }
  if (k->cols == 3)
    max_cols_of (&flat, x, 3, lo, hi, out);
  else if (k->cols == 2)
    max_cols_of (&flat, x, 2, lo, hi, out);
  else
    max_cols_of (&flat, x, k->cols, lo, hi, out);
}

/* ---- averages ----------------------------------------------------------- */

INLINE void
sum_rows_block (const uint8_t *x, const int rows, int64_t pitch, uint16_t *out)
{
  uint8x16_t a = vld1q_u8 (x);
  uint16x8_t low, high;

  if (rows == 1) {
    low = vmovl_u8 (vget_low_u8 (a));
    high = vmovl_high_u8 (a);
  } else {
    const uint8x16_t b = vld1q_u8 (x + pitch);

    low = vaddl_u8 (vget_low_u8 (a), vget_low_u8 (b));
    high = vaddl_high_u8 (a, b);
    x += pitch;
  }
  for (int r = 2; r < rows; r++) {
    x += pitch;
    a = vld1q_u8 (x);
    low = vaddw_u8 (low, vget_low_u8 (a));
    high = vaddw_high_u8 (high, a);
  }
  vst1q_u16 (out, low);
  vst1q_u16 (out + BLOCK / 2, high);
}

INLINE void
sum_rows_loop (const uint8_t *x, const int rows, int64_t pitch, int64_t n,
               uint16_t *out)
{
  int64_t i = 0;

  for (; i + BLOCK <= n; i += BLOCK)
    sum_rows_block (x + i, rows, pitch, out + i);
  if (i == n)
    return;
  if (n >= BLOCK) {
    sum_rows_block (x + n - BLOCK, rows, pitch, out + n - BLOCK);
    return;
  }
  for (i = 0; i < n; i++) {
    out[i] = 0;
    for (int r = 0; r < rows; r++)
      out[i] = (uint16_t) (out[i] + x[r * pitch + i]);
  }
}

QK_SUM_ROWS_U8 (qk_sum_rows_u8__neon)
{
  if (rows == 3)
    sum_rows_loop (x, 3, pitch, n, out);
  else if (rows == 2)
    sum_rows_loop (x, 2, pitch, n, out);
  else
    sum_rows_loop (x, rows, pitch, n, out);
}

/* numeric.h: qk_mean_quantized, by a product where that is the quotient rounded
 * to the same integer: COUNT is below 512, so that a quotient that is not half
 * way between integers is 2^-10 away from there, and one that is has an even
 * count; of these, powers of two have exact reciprocals. */
struct v_mean {
  vf by;
  bool divides;
  int16x8_t zp;
  uint8x16_t lo, hi;
};

INLINE struct v_mean
v_mean_of (int32_t count, int zp, int lo, int hi)
{
  const bool product
    = count < 512 && (count % 2 != 0 || !(count & (count - 1)));

  return (
    struct v_mean){ vf_set (product ? 1.0f / (float) count : (float) count),
                    !product, vdupq_n_s16 ((int16_t) zp),
                    vdupq_n_u8 ((uint8_t) lo), vdupq_n_u8 ((uint8_t) hi) };
}

/* Averages of integers less the zero point are between -255 and 255. */
INLINE uint8x16_t
mean_block (const vi sum[4], const struct v_mean *m, const bool divides)
{
  int16x8_t low, high;
  vi r[4];

  UNROLL
  for (int i = 0; i < 4; i++) {
    const vf x = v_float (sum[i]);

    r[i] = v_round (divides ? vf_div (x, m->by) : vf_mul (x, m->by));
  }
  low
    = vuzp1q_s16 (vreinterpretq_s16_s32 (r[0]), vreinterpretq_s16_s32 (r[1]));
  high
    = vuzp1q_s16 (vreinterpretq_s16_s32 (r[2]), vreinterpretq_s16_s32 (r[3]));
  low = vaddq_s16 (low, m->zp);
  high = vaddq_s16 (high, m->zp);
  return vminq_u8 (
    vmaxq_u8 (vqmovun_high_s16 (vqmovun_s16 (low), high), m->lo), m->hi);
}

INLINE uint8x16_t
mean_cols_block (const uint16_t *x, const int cols, int64_t pitch,
                 uint16x8_t less, const struct v_mean *m, const bool divides)
{
  uint16x8_t low = vld1q_u16 (x), high = vld1q_u16 (x + BLOCK / 2);
  vi sum[4];

  for (int s = 1; s < cols; s++) {
    x += pitch;
    low = vaddq_u16 (low, vld1q_u16 (x));
    high = vaddq_u16 (high, vld1q_u16 (x + BLOCK / 2));
  }
  sum[0] = vreinterpretq_s32_u32 (
    vsubl_u16 (vget_low_u16 (low), vget_low_u16 (less)));
  sum[1] = vreinterpretq_s32_u32 (vsubl_high_u16 (low, less));
  sum[2] = vreinterpretq_s32_u32 (
    vsubl_u16 (vget_low_u16 (high), vget_low_u16 (less)));
  sum[3] = vreinterpretq_s32_u32 (vsubl_high_u16 (high, less));
  return mean_block (sum, m, divides);
}

/* One vector of channels of all outputs. */
INLINE void
mean_cols_loop (const struct qk_columns *k, const uint16_t *x, const int cols,
                uint16x8_t less, const struct v_mean *m, const bool divides,
                uint8_t *out)
{
  const int64_t pitch = k->pitch, step = k->step, channels = k->channels;

  for (int64_t q = k->outputs; q > 0; q--, x += step, out += channels)
    vst1q_u8 (out, mean_cols_block (x, cols, pitch, less, m, divides));
}

INLINE void
mean_cols_of (const struct qk_columns *k, const uint16_t *x, const int cols,
              uint16x8_t less, const struct v_mean *m, const bool divides,
              uint8_t *out)
{
  int64_t c = 0;

  if (k->channels < BLOCK) { /* as max_cols_few */
    for (int64_t left = k->outputs * k->channels; left > 0;
         left -= k->channels, x += k->step, out += k->channels)
      v_store_part (
        out,
        v_of_bytes (mean_cols_block (x, cols, k->pitch, less, m, divides)),
        left);
    return;
  }
  if (k->outputs == 1)
    for (; c + BLOCK <= k->channels; c += BLOCK)
      vst1q_u8 (out + c,
                mean_cols_block (x + c, cols, k->pitch, less, m, divides));
  for (; c + BLOCK <= k->channels; c += BLOCK)
    mean_cols_loop (k, x + c, cols, less, m, divides, out + c);
  c = k->channels - BLOCK;
  if (k->channels % BLOCK != 0)
    mean_cols_loop (k, x + c, cols, less, m, divides, out + c);
}

QK_MEAN_COLS_U8 (qk_mean_cols_u8__neon)
{
  const struct v_mean m = v_mean_of (count, zp, lo, hi);
  const uint16x8_t less = vdupq_n_u16 ((uint16_t) (zp * taps));
  struct qk_columns flat = *k;

  if (k->step == k->channels) {
    flat.channels *= k->outputs;
    flat.outputs = 1;
  }
  if (m.divides)
    mean_cols_of (&flat, x, k->cols, less, &m, true, out);
  else if (k->cols == 3)
    mean_cols_of (&flat, x, 3, less, &m, false, out);
  else if (k->cols == 2)
    mean_cols_of (&flat, x, 2, less, &m, false, out);
  else
    mean_cols_of (&flat, x, k->cols, less, &m, false, out);
}

/* ---- sums over many rows ------------------------------------------------ */

#define ROWS16 257 /* bytes whose sum fits 16 bits */

/* SUM += COUNT vectors at X, of ROWS each. */
INLINE void
add_rows_block (const uint8_t *x, int64_t rows, int64_t pitch, const int count,
                uint32x4_t *sum)
{
  while (rows > 0) {
    int64_t some = rows < ROWS16 ? rows : ROWS16;
    uint16x8_t part[8];

    rows -= some;
    UNROLL
    for (int v = 0; v < 2 * count; v++)
      part[v] = vdupq_n_u16 (0);
    for (; some > 0; some--, x += pitch)
      UNROLL
    for (int v = 0; v < count; v++) {
      const uint8x16_t a = vld1q_u8 (x + v * BLOCK);

      part[2 * v] = vaddw_u8 (part[2 * v], vget_low_u8 (a));
      part[2 * v + 1] = vaddw_high_u8 (part[2 * v + 1], a);
    }
    UNROLL
    for (int v = 0; v < 2 * count; v++) {
      sum[2 * v] = vaddw_u16 (sum[2 * v], vget_low_u16 (part[v]));
      sum[2 * v + 1] = vaddw_high_u16 (sum[2 * v + 1], part[v]);
    }
  }
}

INLINE void
add_rows_at (const uint8_t *x, int64_t rows, int64_t pitch, const int count,
             int32_t *out)
{
  uint32x4_t sum[16];

  UNROLL
  for (int v = 0; v < 4 * count; v++)
    sum[v] = vreinterpretq_u32_s32 (vld1q_s32 (out + v * LANES));
  add_rows_block (x, rows, pitch, count, sum);
  UNROLL
  for (int v = 0; v < 4 * count; v++)
    vst1q_s32 (out + v * LANES, vreinterpretq_s32_u32 (sum[v]));
}

QK_ADD_ROWS_U8 (qk_add_rows_u8__neon)
{
  int64_t i = 0;

  for (; i + 4 * BLOCK <= n; i += 4 * BLOCK)
    add_rows_at (x + i, rows, pitch, 4, out + i);
  for (; i + BLOCK <= n; i += BLOCK)
    add_rows_at (x + i, rows, pitch, 1, out + i);
  for (; rows > 0 && i < n; rows--, x += pitch)
    for (int64_t c = i; c < n; c++)
      out[c] += x[c];
}

/* Channels of a window at X, COUNT vectors of them. */
INLINE void
avgpool_block (const struct qk_window *w, const uint8_t *x, const int count,
               int32_t zp, const struct v_mean *m, uint8_t *out)
{
  const vi less = v_set32 (zp * (w->rows * w->cols));
  const bool dense = w->row_pitch == w->cols * w->col_pitch;
  const int64_t rows = dense ? 1 : w->rows;
  const int64_t cols = dense ? (int64_t) w->rows * w->cols : w->cols;
  uint32x4_t sum[16];

  UNROLL
  for (int v = 0; v < 4 * count; v++)
    sum[v] = vdupq_n_u32 (0);
  for (int64_t r = 0; r < rows; r++)
    add_rows_block (x + r * w->row_pitch, cols, w->col_pitch, count, sum);
  UNROLL
  for (int v = 0; v < count; v++) {
    vi of[4];

    UNROLL
    for (int i = 0; i < 4; i++)
      of[i] = v_sub32 (vreinterpretq_s32_u32 (sum[4 * v + i]), less);
    vst1q_u8 (out + v * BLOCK, m->divides ? mean_block (of, m, true)
                                          : mean_block (of, m, false));
  }
}

QK_AVGPOOL_U8 (qk_avgpool_u8__neon)
{
  const struct v_mean m = v_mean_of (w->count, zp, lo, hi);
  int64_t c = 0;

  for (; c + 4 * BLOCK <= channels; c += 4 * BLOCK)
    avgpool_block (w, w->x + c, 4, zp, &m, out + c);
  for (; c + BLOCK <= channels; c += BLOCK)
    avgpool_block (w, w->x + c, 1, zp, &m, out + c);
  if (c < channels && channels >= BLOCK) {
    c = channels - BLOCK;
    avgpool_block (w, w->x + c, 1, zp, &m, out + c);
  } else if (c < channels) {
    struct qk_window one = *w;

    one.x += c;
    qk_avgpool_u8__c (&one, channels - c, zp, lo, hi, out + c);
  }
}
