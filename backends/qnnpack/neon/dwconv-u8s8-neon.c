/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dwconv-u8s8-neon.c: depthwise convolution for armv8.0, 16 channels at once:
 * products of signed bytes, those of two taps of a column summed in 16 bits, and
 * such sums in 32 (smull, smlal, saddw).
 *
 * Activations enter as a - 128, the bias brings 128 * sum w back.  No more than one
 * of the weights of two products is -128: their sum fits 16 bits. */
#include "config.h"

#include "vec128.h"

/* Sixteen channels at P, or the first N, less 128. */
INLINE int8x16_t
load (const uint8_t *p, int64_t n, const bool full)
{
  const uint8x16_t a = full ? vld1q_u8 (p) : v_bytes (v_load_part (p, n));

  return vreinterpretq_s8_u8 (veorq_u8 (a, vdupq_n_u8 (0x80)));
}

INLINE void
add_sums (vi acc[4], int16x8_t low, int16x8_t high)
{
  acc[0] = vaddw_s16 (acc[0], vget_low_s16 (low));
  acc[1] = vaddw_high_s16 (acc[1], low);
  acc[2] = vaddw_s16 (acc[2], vget_low_s16 (high));
  acc[3] = vaddw_high_s16 (acc[3], high);
}

/* The KERNEL_H taps of a column of the window of block B, by W. */
INLINE void
add_column (vi acc[4], const uint8_t *const *column,
            const struct q8_dwconv_block *b, const int8x16_t *w,
            const int kernel_h, const bool full)
{
  UNROLL
  for (int r = 0; r < kernel_h; r += 2) {
    const int8x16_t x = load (column[r] + b->first, b->n, full);
    int16x8_t low = vmull_s8 (vget_low_s8 (x), vget_low_s8 (w[r]));
    int16x8_t high = vmull_high_s8 (x, w[r]);

    if (r + 1 < kernel_h) {
      const int8x16_t y = load (column[r + 1] + b->first, b->n, full);

      low = vmlal_s8 (low, vget_low_s8 (y), vget_low_s8 (w[r + 1]));
      high = vmlal_high_s8 (high, y, w[r + 1]);
    }
    add_sums (acc, low, high);
  }
}

/* Windows of 3x3: weights and bias stay in registers. */
INLINE void
window_3x3 (const struct q8_dwconv_row *w, const struct q8_dwconv_block *b,
            const struct q8_output *o, uint8_t *out)
{
  const int64_t next = (int64_t) w->dilation * 3;
  const int64_t step = (int64_t) w->stride * 3, pitch = o->pitch;
  const uint8_t *const *column = w->column;
  const struct q8_dwconv_block block = *b;
  const struct v_dwconv c = v_dwconv_of (b, o);
  const int8_t *from = b->weight;
  int8x16_t weight[9];
  vi bias[4];

  UNROLL
  for (int t = 0; t < 9; t++)
    weight[t] = vld1q_s8 (from + t * Q8_NR);
  v_start (bias, b);
  for (int64_t q = w->q; q > 0; q--, out += pitch, column += step) {
    vi acc[4] = { bias[0], bias[1], bias[2], bias[3] };

    add_column (acc, column, &block, weight, 3, true);
    add_column (acc, column + next, &block, weight + 3, 3, true);
    add_column (acc, column + 2 * next, &block, weight + 6, 3, true);
    vst1q_u8 (out, v_requantize (acc, c.multiplier, &c.g, true));
  }
}

/* Windows of 5x5. */
INLINE void
window_5x5 (const struct q8_dwconv_row *w, const struct q8_dwconv_block *b,
            const struct q8_output *o, uint8_t *out)
{
  const int64_t next = (int64_t) w->dilation * 5;
  const int64_t step = (int64_t) w->stride * 5, pitch = o->pitch;
  const uint8_t *const *column = w->column;
  const struct q8_dwconv_block block = *b;
  const struct v_dwconv c = v_dwconv_of (b, o);
  const int8_t *from = b->weight;

  for (int64_t q = w->q; q > 0; q--, out += pitch, column += step) {
    vi acc[4];

    v_start (acc, &block);
    UNROLL
    for (int s = 0; s < 5; s++) {
      int8x16_t weight[5];

      UNROLL
      for (int r = 0; r < 5; r++)
        weight[r] = vld1q_s8 (from + (s * 5 + r) * Q8_NR);
      add_column (acc, column + s * next, &block, weight, 5, true);
    }
    vst1q_u8 (out, v_requantize (acc, c.multiplier, &c.g, true));
  }
}

/* Any windows, of some or all channels. */
INLINE void
any_window (const struct q8_dwconv_row *w, const struct q8_dwconv_block *b,
            const struct q8_output *o, uint8_t *out, const bool full)
{
  const struct v_dwconv c = v_dwconv_of (b, o);

  for (int64_t q = 0; q < w->q; q++, out += o->pitch) {
    const uint8_t *const *column = w->column + q * w->stride * w->kernel_h;
    const int8_t *from = b->weight;
    vi acc[4];

    v_start (acc, b);
    for (int s = 0; s < w->kernel_w;
         s++, column += w->dilation * w->kernel_h) {
      int r = 0;

      for (; r < w->kernel_h; r += 2, from += 2 * Q8_NR) {
        const bool two = r + 1 < w->kernel_h;
        const int8x16_t weight[2]
          = { vld1q_s8 (from), vld1q_s8 (two ? from + Q8_NR : from) };

        if (two)
          add_column (acc, column + r, b, weight, 2, full);
        else
          add_column (acc, column + r, b, weight, 1, full);
      }
      from -= (r - w->kernel_h) * Q8_NR; /* there was no second one */
    }
    v_store_part (
      out, v_of_bytes (v_requantize (acc, c.multiplier, &c.g, false)), b->n);
  }
}

QK_DWCONV_U8S8 (qk_dwconv_u8s8__neon)
{
  for (int i = 0; i < w->blocks; i++) {
    const struct q8_dwconv_block *b = &w->block[i];

    if (b->n < Q8_NR)
      any_window (w, b, o, out + b->first, false);
    else if (!b->finite)
      any_window (w, b, o, out + b->first, true);
    else if (w->kernel_h == 3 && w->kernel_w == 3)
      window_3x3 (w, b, o, out + b->first);
    else if (w->kernel_h == 5 && w->kernel_w == 5)
      window_5x5 (w, b, o, out + b->first);
    else
      any_window (w, b, o, out + b->first, true);
  }
}
