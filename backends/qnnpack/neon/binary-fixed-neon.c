/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* binary-fixed-neon.c: sums, differences and products in fixed point for neon;
 * fixed.h says when. */
#include "config.h"

#include "vec128.h"

/* ---- sums ---------------------------------------------------------------
 * Digits of factors have 7 bits, so that 16 bits hold both products of a
 * digit's plane, a summand and what the plane below carries over. */

struct v_sum {
  uint8x16_t a[4], b[4], lo, hi;
  uint16x8_t c[3];
};

INLINE struct v_sum
v_sum_of (const struct qk_grids *g)
{
  const int32_t c = g->fixed.c[0];
  struct v_sum s;

  UNROLL
  for (int i = 0; i < 4; i++) {
    s.a[i] = vdupq_n_u8 (g->fixed.a[i]);
    s.b[i] = vdupq_n_u8 (g->fixed.b[i]);
  }
  s.c[0] = vdupq_n_u16 ((uint16_t) (c < 0 ? -c : c));
  s.c[1] = vdupq_n_u16 ((uint16_t) g->fixed.c[1]);
  s.c[2] = vdupq_n_u16 ((uint16_t) g->fixed.c[2]);
  s.lo = vdupq_n_u8 ((uint8_t) g->lo);
  s.hi = vdupq_n_u8 ((uint8_t) g->hi);
  return s;
}

INLINE uint16x8_t
plane (uint8x16_t x, uint8x16_t y, const struct v_sum *s, const int i,
       const bool high)
{
  return high ? vmlal_high_u8 (vmull_high_u8 (x, s->a[i]), y, s->b[i])
              : vmlal_u8 (vmull_u8 (vget_low_u8 (x), vget_low_u8 (s->a[i])),
                          vget_low_u8 (y), vget_low_u8 (s->b[i]));
}

/* Half of a block in units of 2^-7.  Below 0 and above 16 bits both steps
 * saturate, as clamping would. */
INLINE uint16x8_t
sum_half (uint8x16_t x, uint8x16_t y, const struct v_sum *s, const bool below,
          const bool high)
{
  uint16x8_t sum = plane (x, y, s, 3, high);

  sum = vaddq_u16 (vsraq_n_u16 (plane (x, y, s, 2, high), sum, 7), s->c[2]);
  sum = vaddq_u16 (vsraq_n_u16 (plane (x, y, s, 1, high), sum, 7), s->c[1]);
  sum = vsraq_n_u16 (plane (x, y, s, 0, high), sum, 7);
  return below ? vqsubq_u16 (sum, s->c[0]) : vqaddq_u16 (sum, s->c[0]);
}

INLINE uint8x16_t
sum_block (uint8x16_t x, uint8x16_t y, const struct v_sum *s, const bool less,
           const bool below)
{
  const uint8x16_t z = less ? vmvnq_u8 (y) : y;
  const uint16x8_t low = sum_half (x, z, s, below, false);
  const uint16x8_t high = sum_half (x, z, s, below, true);
  const uint8x16_t q = vqshrn_high_n_u16 (vqshrn_n_u16 (low, 7), high, 7);

  return vminq_u8 (vmaxq_u8 (q, s->lo), s->hi);
}

/* LESS: b is subtracted.  BELOW: the first digit of C is negative. */
INLINE void
sum_loop (const uint8_t *a, const uint8_t *b, int64_t n,
          const struct qk_grids *g, uint8_t *out, const bool less,
          const bool below)
{
  const struct v_sum s = v_sum_of (g);
  int64_t i = 0;

  for (; i + 2 * BLOCK <= n; i += 2 * BLOCK) {
    const uint8x16_t x = vld1q_u8 (a + i), x2 = vld1q_u8 (a + i + BLOCK);
    const uint8x16_t y = vld1q_u8 (b + i), y2 = vld1q_u8 (b + i + BLOCK);

    vst1q_u8 (out + i, sum_block (x, y, &s, less, below));
    vst1q_u8 (out + i + BLOCK, sum_block (x2, y2, &s, less, below));
  }
  for (; i < n; i += BLOCK) {
    const vi x = v_load_part (a + i, n - i), y = v_load_part (b + i, n - i);

    v_store_part (
      out + i,
      v_of_bytes (sum_block (v_bytes (x), v_bytes (y), &s, less, below)),
      n - i);
  }
}

QK_BINARY_U8 (qk_add_fixed_u8__neon)
{
  if (g->fixed.c[0] < 0)
    sum_loop (a, b, n, g, out, false, true);
  else
    sum_loop (a, b, n, g, out, false, false);
}

QK_BINARY_U8 (qk_sub_fixed_u8__neon)
{
  if (g->fixed.c[0] < 0)
    sum_loop (a, b, n, g, out, true, true);
  else
    sum_loop (a, b, n, g, out, true, false);
}

/* ---- products ---------------------------------------------------------- */

struct v_product {
  uint8x16_t za, zb, lo, hi;
  int32x4_t m;
  int16x8_t zp;
};

INLINE int16x8_t
less_zero (uint8x16_t x, uint8x16_t z, const bool high)
{
  return vreinterpretq_s16_u16 (
    high ? vsubl_high_u8 (x, z) : vsubl_u8 (vget_low_u8 (x), vget_low_u8 (z)));
}

/* Twice the product times 2^30 m is 2^31 times the result. */
INLINE int16x8_t
product_half (uint8x16_t x, uint8x16_t y, const struct v_product *p,
              const bool high)
{
  const int16x8_t a = less_zero (x, p->za, high);
  const int16x8_t b = less_zero (y, p->zb, high);
  const int32x4_t low = vqdmull_s16 (vget_low_s16 (a), vget_low_s16 (b));
  const int32x4_t up = vqdmull_high_s16 (a, b);

  return vqaddq_s16 (vqmovn_high_s32 (vqmovn_s32 (vqrdmulhq_s32 (low, p->m)),
                                      vqrdmulhq_s32 (up, p->m)),
                     p->zp);
}

INLINE uint8x16_t
product_block (uint8x16_t x, uint8x16_t y, const struct v_product *p)
{
  const int16x8_t low = product_half (x, y, p, false);
  const int16x8_t high = product_half (x, y, p, true);
  const uint8x16_t q = vqmovun_high_s16 (vqmovun_s16 (low), high);

  return vminq_u8 (vmaxq_u8 (q, p->lo), p->hi);
}

QK_BINARY_U8 (qk_mul_fixed_u8__neon)
{
  const struct v_product p = { .za = vdupq_n_u8 ((uint8_t) g->za),
                               .zb = vdupq_n_u8 ((uint8_t) g->zb),
                               .lo = vdupq_n_u8 ((uint8_t) g->lo),
                               .hi = vdupq_n_u8 ((uint8_t) g->hi),
                               .m = vdupq_n_s32 (g->fixed.m),
                               .zp = vdupq_n_s16 ((int16_t) g->zp) };
  int64_t i = 0;

  for (; i + 2 * BLOCK <= n; i += 2 * BLOCK) {
    const uint8x16_t x = vld1q_u8 (a + i), x2 = vld1q_u8 (a + i + BLOCK);
    const uint8x16_t y = vld1q_u8 (b + i), y2 = vld1q_u8 (b + i + BLOCK);

    vst1q_u8 (out + i, product_block (x, y, &p));
    vst1q_u8 (out + i + BLOCK, product_block (x2, y2, &p));
  }
  for (; i < n; i += BLOCK) {
    const vi x = v_load_part (a + i, n - i), y = v_load_part (b + i, n - i);

    v_store_part (out + i,
                  v_of_bytes (product_block (v_bytes (x), v_bytes (y), &p)),
                  n - i);
  }
}
