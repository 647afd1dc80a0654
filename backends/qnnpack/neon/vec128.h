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
#define V_ROUND_SATURATES /* to int32, and what is no number is 0 */

typedef int32x4_t vi;
typedef float32x4_t vf;

/* Loops over registers must vanish. */
#ifdef __clang__
#define UNROLL _Pragma ("clang loop unroll(full)")
#else
#define UNROLL _Pragma ("GCC unroll 16")
#endif

/* As written: where loads and products are moved apart before registers are given
 * out, there are too few of them. */
#if defined __GNUC__ && !defined __clang__
#pragma GCC optimize("no-schedule-insns")
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

  if (n >= BLOCK)
    vst1q_u8 (p, v_bytes (v));
  else if (n == 8)
    vst1_u8 (p, vget_low_u8 (v_bytes (v)));
  else if (n == 4)
    memcpy (p, &v, 4);
  else {
    vst1q_u8 (bytes, v_bytes (v));
    memcpy (p, bytes, (size_t) n);
  }
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
vf_store4 (float *p, const vf x[4])
{
  vst1q_f32_x4 (p, ((float32x4x4_t){ { x[0], x[1], x[2], x[3] } }));
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

/* A block of bytes as floats less Z, which is a byte, in the order of widen4. */
INLINE void
v_real4 (vi a, int32_t z, vf out[4])
{
  const uint8x16_t x = v_bytes (a), less = vdupq_n_u8 ((uint8_t) z);
  const int16x8_t lo
    = vreinterpretq_s16_u16 (vsubl_u8 (vget_low_u8 (x), vget_low_u8 (less)));
  const int16x8_t hi = vreinterpretq_s16_u16 (vsubl_high_u8 (x, less));

  out[0] = v_float (vmovl_s16 (vget_low_s16 (lo)));
  out[1] = v_float (vmovl_high_s16 (lo));
  out[2] = v_float (vmovl_s16 (vget_low_s16 (hi)));
  out[3] = v_float (vmovl_high_s16 (hi));
}

INLINE vf
v_real_ordered (vi a, int32_t z, const int i)
{
  vf x[4];

  v_real4 (a, z, x);
  return x[i];
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

/* What a grid adds and is bounded by. */
struct v_grid {
  int16x8_t zero_point;
  uint8x16_t lo, hi;
};

INLINE struct v_grid
v_grid_of (const struct q8_output *o)
{
  return (struct v_grid){ vdupq_n_s16 ((int16_t) o->zero_point),
                          vdupq_n_u8 ((uint8_t) o->lo),
                          vdupq_n_u8 ((uint8_t) o->hi) };
}

/* numeric.h: qk_requantize.  Each step saturates, and so the bounds may come
 * last; what is no number is the lower bound, which multipliers that are FINITE do
 * not make. */
INLINE uint8x16_t
v_requantize (const vi acc[4], const vf multiplier[4], const struct v_grid *g,
              const bool finite)
{
  vi r[4];
  int16x8_t low, high;

  UNROLL
  for (int v = 0; v < 4; v++) {
    const vf x = vf_mul (v_float (acc[v]), multiplier[v]);

    r[v] = v_round (finite ? x : vf_max (x, vf_set (-1e9f)));
  }
  low = vqaddq_s16 (vqmovn_high_s32 (vqmovn_s32 (r[0]), r[1]), g->zero_point);
  high = vqaddq_s16 (vqmovn_high_s32 (vqmovn_s32 (r[2]), r[3]), g->zero_point);
  return vminq_u8 (
    vmaxq_u8 (vqmovun_high_s16 (vqmovun_s16 (low), high), g->lo), g->hi);
}

INLINE void
v_store_reals (float *out, const vi acc[4], const vf multiplier[4], int n)
{
  UNROLL
  for (int v = 0; v < 4; v++)
    vf_store_part (out + v * LANES, vf_mul (v_float (acc[v]), multiplier[v]),
                   n - v * LANES);
}

/* Whether all rows are 16 bytes that finite multipliers make. */
INLINE bool
v_is_whole (const struct q8_gemm_block *b, const struct q8_output *o)
{
  return b->n == Q8_NR && !o->f32 && b->finite;
}

/* The first ROWS of a gemm tile of MR rows, or all of them with ALL: bytes, or float
 * where O says so; WHOLE as above. */
INLINE void
v_store_rows (vi (*acc)[4], int64_t rows, const struct q8_gemm_block *b,
              const struct q8_output *o, const struct v_grid *g, uint8_t *out,
              const int mr, const bool whole, const bool all)
{
  vf multiplier[4];

  UNROLL
  for (int v = 0; v < 4; v++)
    multiplier[v] = vf_load (b->multiplier + v * LANES);
  UNROLL
  for (int i = 0; i < mr; i++, out += o->pitch) {
    if (!all && i >= rows)
      return;
    if (whole)
      vst1q_u8 (out, v_requantize (acc[i], multiplier, g, true));
    else if (o->f32)
      v_store_reals ((float *) (void *) out, acc[i], multiplier, b->n);
    else
      v_store_part (
        out, v_of_bytes (v_requantize (acc[i], multiplier, g, false)), b->n);
  }
}

/* What a gemm is told, for the compiler to see that no store changes it; the
 * bytes of a tile. */
struct v_gemm {
  struct q8_gemm_block b;
  struct q8_output o;
  struct v_grid g;
  int64_t kc, tile;
};

INLINE struct v_gemm
v_gemm_of (int64_t kc, const struct q8_gemm_block *b,
           const struct q8_output *o, const int mr)
{
  return (struct v_gemm){ *b, *o, v_grid_of (o), kc,
                          (kc + Q8_CELL - 1) / Q8_CELL * mr * Q8_CELL };
}

/* What a depthwise convolution's channels are finished with. */
struct v_dwconv {
  struct v_grid g;
  vf multiplier[4];
};

INLINE struct v_dwconv
v_dwconv_of (const struct q8_dwconv_block *b, const struct q8_output *o)
{
  return (struct v_dwconv){ v_grid_of (o),
                            { vf_load (b->multiplier),
                              vf_load (b->multiplier + LANES),
                              vf_load (b->multiplier + 2 * LANES),
                              vf_load (b->multiplier + 3 * LANES) } };
}

/* The sums of a pixel begin with the bias. */
INLINE void
v_start (vi acc[4], const struct q8_dwconv_block *b)
{
  UNROLL
  for (int v = 0; v < 4; v++)
    acc[v] = vld1q_s32 (b->bias + v * LANES);
}

#endif /* VEC128_H */
