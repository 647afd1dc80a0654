/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dwconv-u8s8-neon-wide.c: depthwise convolution for armv8.0 with any weights, 16
 * channels at once: bytes widened to 16 bits, products added to 32. */
#include "config.h"

#include "vec128.h"

/* Channels FIRST .. FIRST+N-1 at P by the weights of a tap. */
INLINE void
add_tap (vi acc[4], const uint8_t *p, int64_t n, const bool full, int16x8_t w0,
         int16x8_t w1)
{
  const uint8x16_t a = full ? vld1q_u8 (p) : v_bytes (v_load_part (p, n));
  const int16x8_t lo = vreinterpretq_s16_u16 (vmovl_u8 (vget_low_u8 (a)));
  const int16x8_t hi = vreinterpretq_s16_u16 (vmovl_high_u8 (a));

  acc[0] = vmlal_s16 (acc[0], vget_low_s16 (lo), vget_low_s16 (w0));
  acc[1] = vmlal_high_s16 (acc[1], lo, w0);
  acc[2] = vmlal_s16 (acc[2], vget_low_s16 (hi), vget_low_s16 (w1));
  acc[3] = vmlal_high_s16 (acc[3], hi, w1);
}

INLINE void
any_window (const struct q8_dwconv_row *w, const struct q8_dwconv_block *b,
            const struct q8_output *o, uint8_t *out, const bool full)
{
  const struct v_dwconv c = v_dwconv_of (b, o);

  for (int64_t q = 0; q < w->q; q++, out += o->pitch) {
    const uint8_t *const *column = w->column + q * w->stride * w->kernel_h;
    const int16_t *weight = b->weight;
    vi acc[4];

    v_start (acc, b);
    for (int s = 0; s < w->kernel_w; s++, column += w->dilation * w->kernel_h)
      for (int r = 0; r < w->kernel_h; r++, weight += Q8_NR)
        add_tap (acc, column[r] + b->first, b->n, full, vld1q_s16 (weight),
                 vld1q_s16 (weight + 8));
    v_store_part (
      out, v_of_bytes (v_requantize (acc, c.multiplier, &c.g, false)), b->n);
  }
}

QK_DWCONV_U8S8 (qk_dwconv_u8s8__neon_wide)
{
  for (int i = 0; i < w->blocks; i++) {
    const struct q8_dwconv_block *b = &w->block[i];

    any_window (w, b, o, out + b->first, b->n == Q8_NR);
  }
}
