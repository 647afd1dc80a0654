/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resize-neon.c: sums of shares of pixels and of rows for neon.  A sum begins with
 * its first product where numeric.h begins with 0, which is another number only
 * where that is -0. */
#include "config.h"

#include "vec128.h"

/* SUM = or += share x, 16 elements. */
INLINE void
add_share (const float *x, float share, const bool begins, vf sum[4])
{
  UNROLL
  for (int i = 0; i < 4; i++) {
    const vf product = vf_mul (vf_set (share), vf_load (x + i * LANES));

    sum[i] = begins ? product : vf_add (sum[i], product);
  }
}

/* The sum of two shares, which most are. */
INLINE void
blend_two (const float *x, vf a, const float *y, vf b, vf sum[4])
{
  const float32x4x4_t p = vld1q_f32_x4 (x), q = vld1q_f32_x4 (y);

  UNROLL
  for (int i = 0; i < 4; i++)
    sum[i] = vf_add (vf_mul (a, p.val[i]), vf_mul (b, q.val[i]));
}

INLINE void
blend_cols_two (const float *x, const int32_t *col, const float *b,
                int64_t outputs, int64_t channels, float *out)
{
  for (; outputs > 0; outputs--, col += 2, b += 2, out += channels) {
    const float *p = x + col[0] * channels, *q = x + col[1] * channels;
    const vf first = vf_set (b[0]), second = vf_set (b[1]);
    float *to = out;

    for (int64_t left = channels; left > 0; left -= BLOCK) {
      vf sum[4];

      blend_two (p, first, q, second, sum);
      UNROLL
      for (int i = 0; i < 4; i++)
        vst1q_f32 (to + i * LANES, sum[i]);
      p += BLOCK;
      q += BLOCK;
      to += BLOCK;
    }
  }
}

QK_BLEND_COLS_F32 (qk_blend_cols_f32__neon)
{
  if (taps == 2) {
    blend_cols_two (x, col, b, outputs, channels, out);
    return;
  }
  for (; outputs > 0; outputs--, col += taps, b += taps, out += channels)
    for (int64_t c = 0; c < channels; c += BLOCK) {
      vf sum[4];

      add_share (x + col[0] * channels + c, b[0], true, sum);
      for (int j = 1; j < taps; j++)
        add_share (x + col[j] * channels + c, b[j], false, sum);
      vf_store4 (out + c, sum);
    }
}

struct v_bounds {
  vf least;
  int16x8_t zp;
  uint8x16_t hi;
};

/* What is no number becomes the lower bound; the rest saturates. */
INLINE uint8x16_t
bytes_of (const vf sum[4], const struct v_bounds *k)
{
  int16x8_t low, high;
  vi r[4];

  UNROLL
  for (int i = 0; i < 4; i++)
    r[i] = v_round (vf_max (sum[i], k->least));
  low = vqaddq_s16 (vqmovn_high_s32 (vqmovn_s32 (r[0]), r[1]), k->zp);
  high = vqaddq_s16 (vqmovn_high_s32 (vqmovn_s32 (r[2]), r[3]), k->zp);
  return vminq_u8 (vqmovun_high_s16 (vqmovun_s16 (low), high), k->hi);
}

INLINE void
blend_rows_two (const float *x, float a, const float *y, float b, int64_t n,
                const struct v_bounds *k, uint8_t *out)
{
  const vf first = vf_set (a), second = vf_set (b);
  vf sum[4];

  for (; n >= BLOCK; n -= BLOCK, x += BLOCK, y += BLOCK, out += BLOCK) {
    blend_two (x, first, y, second, sum);
    vst1q_u8 (out, bytes_of (sum, k));
  }
  if (n > 0) {
    blend_two (x, first, y, second, sum);
    v_store_part (out, v_of_bytes (bytes_of (sum, k)), n);
  }
}

QK_BLEND_ROWS_U8 (qk_blend_rows_u8__neon)
{
  const struct v_bounds k
    = { vf_set ((float) (lo - zp)), vdupq_n_s16 ((int16_t) zp),
        vdupq_n_u8 ((uint8_t) hi) };

  if (taps == 2) {
    blend_rows_two (x[0], a[0], x[1], a[1], n, &k, out);
    return;
  }
  for (int64_t i = 0; i < n; i += BLOCK) {
    vf sum[4];

    add_share (x[0] + i, a[0], true, sum);
    for (int j = 1; j < taps; j++)
      add_share (x[j] + i, a[j], false, sum);
    v_store_part (out + i, v_of_bytes (bytes_of (sum, &k)), n - i);
  }
}
