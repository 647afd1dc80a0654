/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vec128.h: vectors of 64-bit ARM, for plugins/common/pointwise/template.h
 * and the kernels of this backend.
 *
 * A "block" is 16 bytes.  widen4 spreads it over four vectors of int32,
 * narrow4 packs them again, both in the order of memory.  "Part" forms take a
 * count of elements and touch nothing beyond it. */
#ifndef VEC128_H
#define VEC128_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "../kernels.h"

#define LANES 4
#define BLOCK 16

typedef int32x4_t vi;
typedef float32x4_t vf;

/* Loops over registers must vanish. */
#ifdef __clang__
#define UNROLL _Pragma ("clang loop unroll(full)")
#else
#define UNROLL _Pragma ("GCC unroll 16")
#endif

#define INLINE static inline __attribute__ ((always_inline, unused))

INLINE uint8x16_t
v_bytes (vi v)
{
  return vreinterpretq_u8_s32 (v);
}
INLINE vi
v_of_bytes (uint8x16_t v)
{
  return vreinterpretq_s32_u8 (v);
}
INLINE vi
v_zero (void)
{
  return vdupq_n_s32 (0);
}
INLINE vi
v_set8 (int x)
{
  return v_of_bytes (vdupq_n_u8 ((uint8_t) x));
}
INLINE vi
v_set16 (int x)
{
  return vreinterpretq_s32_s16 (vdupq_n_s16 ((int16_t) x));
}
INLINE vi
v_set32 (int x)
{
  return vdupq_n_s32 (x);
}
INLINE vi
v_add32 (vi a, vi b)
{
  return vaddq_s32 (a, b);
}
INLINE vi
v_sub32 (vi a, vi b)
{
  return vsubq_s32 (a, b);
}
INLINE vi
v_max_u8 (vi a, vi b)
{
  return v_of_bytes (vmaxq_u8 (v_bytes (a), v_bytes (b)));
}
INLINE vi
v_min_u8 (vi a, vi b)
{
  return v_of_bytes (vminq_u8 (v_bytes (a), v_bytes (b)));
}
INLINE vf
v_float (vi a)
{
  return vcvtq_f32_s32 (a);
}
/* Half to even, whatever the rounding mode. */
INLINE vi
v_round (vf a)
{
  return vcvtnq_s32_f32 (a);
}
INLINE vf
vf_load (const float *p)
{
  return vld1q_f32 (p);
}
INLINE vf
vf_set (float x)
{
  return vdupq_n_f32 (x);
}
INLINE vf
vf_add (vf a, vf b)
{
  return vaddq_f32 (a, b);
}
INLINE vf
vf_sub (vf a, vf b)
{
  return vsubq_f32 (a, b);
}
INLINE vf
vf_mul (vf a, vf b)
{
  return vmulq_f32 (a, b);
}
INLINE vf
vf_div (vf a, vf b)
{
  return vdivq_f32 (a, b);
}
/* The number where the other is NaN, as numeric.h's comparisons. */
INLINE vf
vf_max (vf a, vf b)
{
  return vmaxnmq_f32 (a, b);
}
INLINE vf
vf_min (vf a, vf b)
{
  return vminnmq_f32 (a, b);
}

/* The first N bytes of a block, 0 < N; the others are 0. */
INLINE vi
v_load_part (const void *p, int64_t n)
{
  uint8_t bytes[BLOCK];

  if (n >= BLOCK)
    return v_of_bytes (vld1q_u8 (p));
  memset (bytes, 0, sizeof bytes);
  memcpy (bytes, p, (size_t) n);
  return v_of_bytes (vld1q_u8 (bytes));
}

INLINE void
v_store_part (void *p, vi v, int64_t n)
{
  uint8_t bytes[BLOCK];

  if (n >= BLOCK) {
    vst1q_u8 (p, v_bytes (v));
    return;
  }
  vst1q_u8 (bytes, v_bytes (v));
  memcpy (p, bytes, (size_t) n);
}

INLINE vf
vf_load_part (const float *p, int64_t n)
{
  return n >= LANES ? vf_load (p)
                    : vreinterpretq_f32_s32 (v_load_part (p, n * 4));
}

INLINE void
vf_store_part (float *p, vf v, int64_t n)
{
  if (n >= LANES)
    vst1q_f32 (p, v);
  else if (n > 0)
    v_store_part (p, vreinterpretq_s32_f32 (v), n * 4);
}

INLINE void
v_widen4 (vi a, vi out[4])
{
  const uint16x8_t lo = vmovl_u8 (vget_low_u8 (v_bytes (a)));
  const uint16x8_t hi = vmovl_high_u8 (v_bytes (a));

  out[0] = vreinterpretq_s32_u32 (vmovl_u16 (vget_low_u16 (lo)));
  out[1] = vreinterpretq_s32_u32 (vmovl_high_u16 (lo));
  out[2] = vreinterpretq_s32_u32 (vmovl_u16 (vget_low_u16 (hi)));
  out[3] = vreinterpretq_s32_u32 (vmovl_high_u16 (hi));
}

/* A block of bytes as floats less Z, in the order of widen4. */
INLINE void
v_real4 (vi a, int32_t z, vf out[4])
{
  vi w[4];

  v_widen4 (a, w);
  UNROLL
  for (int i = 0; i < 4; i++)
    out[i] = v_float (v_sub32 (w[i], v_set32 (z)));
}

INLINE vi
v_widen_ordered (vi a, const int i)
{
  vi w[4];

  v_widen4 (a, w);
  return w[i];
}

/* Saturate to int16, add ZP, saturate to u8. */
INLINE vi
v_narrow4 (vi a, vi b, vi c, vi d, vi zp)
{
  const int16x8_t z = vreinterpretq_s16_s32 (zp);
  const int16x8_t ab = vqaddq_s16 (vqmovn_high_s32 (vqmovn_s32 (a), b), z);
  const int16x8_t cd = vqaddq_s16 (vqmovn_high_s32 (vqmovn_s32 (c), d), z);

  return v_of_bytes (vqmovun_high_s16 (vqmovun_s16 (ab), cd));
}

INLINE vi
v_narrow4_ordered (vi a, vi b, vi c, vi d, vi zp)
{
  return v_narrow4 (a, b, c, d, zp);
}

/* A table of 256 bytes, sixty-four a lookup. */
struct v_table {
  uint8x16x4_t part[4];
};

INLINE struct v_table
v_table_load (const uint8_t *table)
{
  struct v_table t;

  UNROLL
  for (int i = 0; i < 4; i++)
    t.part[i] = vld1q_u8_x4 (table + 64 * i);
  return t;
}

/* table[x] for every byte x of X; what is out of range leaves a byte as it
 * is. */
INLINE vi
v_table_at (const struct v_table *t, vi x)
{
  uint8x16_t index = v_bytes (x), y = vqtbl4q_u8 (t->part[0], index);

  UNROLL
  for (int i = 1; i < 4; i++) {
    index = vsubq_u8 (index, vdupq_n_u8 (64));
    y = vqtbx4q_u8 (y, t->part[i], index);
  }
  return v_of_bytes (y);
}

/* ---- what gemm and dwconv share: accumulators of 16 channels to bytes --- */

/* numeric.h: qk_requantize; clamped in float, where whole numbers stay
 * themselves, then rounded. */
INLINE vi
v_requantize (vi acc[4], const float *multiplier, const struct q8_output *o)
{
  const vf lo = vf_set ((float) (o->lo - o->zero_point));
  const vf hi = vf_set ((float) (o->hi - o->zero_point));
  vi r[4];

  UNROLL
  for (int v = 0; v < 4; v++) {
    const vf x = vf_mul (v_float (acc[v]), vf_load (multiplier + v * LANES));

    r[v] = v_round (vf_min (vf_max (x, lo), hi));
  }
  return v_narrow4 (r[0], r[1], r[2], r[3], v_set16 (o->zero_point));
}

/* One row of a gemm tile. */
INLINE void
v_store_row (vi acc[4], const struct q8_gemm_block *b,
             const struct q8_output *o, uint8_t *out)
{
  if (!o->f32) {
    v_store_part (out, v_requantize (acc, b->multiplier, o), b->n);
    return;
  }
  UNROLL
  for (int v = 0; v < 4; v++)
    vf_store_part (
      (float *) (void *) out + v * LANES,
      vf_mul (v_float (acc[v]), vf_load (b->multiplier + v * LANES)),
      b->n - v * LANES);
}

/* N bytes at P, 0 < N < 8, the others 0. */
INLINE uint8x8_t
v_load_few (const uint8_t *p, int64_t n)
{
  uint64_t x = 0;

  memcpy (&x, p, (size_t) n);
  return vcreate_u8 (x);
}

#endif /* VEC128_H */
