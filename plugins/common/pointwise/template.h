/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* template.h: template of the kernels without weights: include a vector
 * header, define ISA, then include this.  plugins/common/int8gemm/tmpl/vec256.h
 * says what the vectors must offer.  V_ROUND_SATURATES: v_round gives the nearest
 * int32; OWN_AVGPOOL: the level has a qk_avgpool_u8 elsewhere. */
#include "pointwise.h"

#define JOIN_(a, b) a##__##b
#define JOIN(a, b) JOIN_ (a, b)
#define NAME(family) JOIN (family, ISA)

/* clamp (rne (x) + zp, lo, hi) of four vectors as bytes, ORDERED as memory or as
 * widened: clamped in float, where whole numbers stay themselves, then rounded.
 * Where rounding saturates, as narrowing does, only what is no number needs a
 * bound in float. */
INLINE vi
to_bytes (vf x[4], const struct qk_grids *g, const bool ordered)
{
  const vf lo = vf_set ((float) (g->lo - g->zp));
  vi r[4], q;

  UNROLL
  for (int i = 0; i < 4; i++) {
    x[i] = vf_max (x[i], lo);
#ifndef V_ROUND_SATURATES
    x[i] = vf_min (x[i], vf_set ((float) (g->hi - g->zp)));
#endif
    r[i] = v_round (x[i]);
  }
  q = ordered ? v_narrow4_ordered (r[0], r[1], r[2], r[3], v_set16 (g->zp))
              : v_narrow4 (r[0], r[1], r[2], r[3], v_set16 (g->zp));
#ifdef V_ROUND_SATURATES
  q = v_min_u8 (q, v_set8 (g->hi));
#endif
  return q;
}

INLINE void
real_of (vi q, int32_t z, float scale, vf out[4])
{
  v_real4 (q, z, out);
  UNROLL
  for (int i = 0; i < 4; i++)
    out[i] = vf_mul (out[i], vf_set (scale));
}

/* FUNCTION is a constant.  BOUNDED: rounding cannot overflow, so that bytes
 * can be clamped. */
INLINE vf
function_of (const int function, vf x, vf y)
{
  return function == QK_ADD   ? vf_add (x, y)
         : function == QK_SUB ? vf_sub (x, y)
         : function == QK_MUL ? vf_mul (x, y)
         : function == QK_DIV ? vf_div (x, y)
         : function == QK_MAX ? vf_max (x, y)
                              : vf_min (x, y);
}

INLINE void
binary_block (const int function, const uint8_t *a, const uint8_t *b,
              int64_t n, const bool bounded, const struct qk_grids *g,
              uint8_t *out)
{
  vf x[4], y[4];
  vi q;

  real_of (v_load_part (a, n), g->za, g->sa, x);
  real_of (v_load_part (b, n), g->zb, g->sb, y);
  UNROLL
  for (int i = 0; i < 4; i++)
    x[i] = vf_mul (function_of (function, x[i], y[i]), vf_set (g->inv));
  if (bounded) {
    vi r[4];

    UNROLL
    for (int i = 0; i < 4; i++)
      r[i] = v_round (x[i]);
    q = v_narrow4 (r[0], r[1], r[2], r[3], v_set16 (g->zp));
    q = v_min_u8 (v_max_u8 (q, v_set8 (g->lo)), v_set8 (g->hi));
  } else
    q = to_bytes (x, g, false);
  v_store_part (out, q, n);
}

/* In all loops the grids are copied: what is stored might change others. */
INLINE void
binary_loop (const int function, const uint8_t *a, const uint8_t *b, int64_t n,
             const struct qk_grids *given, uint8_t *out)
{
  const struct qk_grids own = *given, *g = &own;
  int64_t i = 0;

  if (g->bounded)
    for (; i + BLOCK <= n; i += BLOCK)
      binary_block (function, a + i, b + i, BLOCK, true, g, out + i);
  else
    for (; i + BLOCK <= n; i += BLOCK)
      binary_block (function, a + i, b + i, BLOCK, false, g, out + i);
  if (i < n)
    binary_block (function, a + i, b + i, n - i, false, g, out + i);
}

QK_BINARY_U8 (NAME (qk_add_u8)) { binary_loop (QK_ADD, a, b, n, g, out); }

QK_BINARY_U8 (NAME (qk_sub_u8)) { binary_loop (QK_SUB, a, b, n, g, out); }

QK_BINARY_U8 (NAME (qk_mul_u8)) { binary_loop (QK_MUL, a, b, n, g, out); }

QK_BINARY_U8 (NAME (qk_div_u8)) { binary_loop (QK_DIV, a, b, n, g, out); }

QK_BINARY_U8 (NAME (qk_max_u8)) { binary_loop (QK_MAX, a, b, n, g, out); }

QK_BINARY_U8 (NAME (qk_min_u8)) { binary_loop (QK_MIN, a, b, n, g, out); }

QK_TABLE_U8 (NAME (qk_table_u8))
{
  const struct v_table t = v_table_load (table);
  int64_t i = 0;

  for (; i + BLOCK <= n; i += BLOCK)
    v_store_part (out + i, v_table_at (&t, v_load_part (a + i, BLOCK)), BLOCK);
  if (i < n)
    v_store_part (out + i, v_table_at (&t, v_load_part (a + i, n - i)), n - i);
}

INLINE void
regrid_block (const uint8_t *a, int64_t n, const struct qk_grids *g,
              uint8_t *out)
{
  vf x[4];

  real_of (v_load_part (a, n), g->za, g->sa, x);
  UNROLL
  for (int i = 0; i < 4; i++)
    x[i] = vf_mul (x[i], vf_set (g->inv));
  v_store_part (out, to_bytes (x, g, false), n);
}

QK_REGRID_U8 (NAME (qk_regrid_u8))
{
  const struct qk_grids own = *g;
  int64_t i = 0;

  for (; i + BLOCK <= n; i += BLOCK)
    regrid_block (a + i, BLOCK, &own, out + i);
  if (i < n)
    regrid_block (a + i, n - i, &own, out + i);
}

INLINE void
quantize_block (const float *a, int64_t n, const struct qk_grids *g,
                uint8_t *out)
{
  vf x[4];

  UNROLL
  for (int i = 0; i < 4; i++) {
    const int64_t left = n - i * LANES;

    x[i] = left > 0 ? vf_load_part (a + i * LANES, left) : vf_set (0);
    x[i] = vf_mul (x[i], vf_set (g->inv));
  }
  v_store_part (out, to_bytes (x, g, true), n);
}

QK_QUANTIZE_F32 (NAME (qk_quantize_f32))
{
  const struct qk_grids own = *g;

  for (; n >= 2 * BLOCK; n -= 2 * BLOCK, a += 2 * BLOCK, out += 2 * BLOCK) {
    quantize_block (a, BLOCK, &own, out);
    quantize_block (a + BLOCK, BLOCK, &own, out + BLOCK);
  }
  for (; n >= BLOCK; n -= BLOCK, a += BLOCK, out += BLOCK)
    quantize_block (a, BLOCK, &own, out);
  if (n > 0)
    quantize_block (a, n, &own, out);
}

INLINE void
dequantize_block (const uint8_t *a, int64_t n, const struct qk_grids *g,
                  float *out)
{
  const vi q = v_load_part (a, n);
  vf x[4];

  UNROLL
  for (int i = 0; i < 4; i++)
    x[i] = vf_mul (v_real_ordered (q, g->za, i), vf_set (g->sa));
  if (n >= BLOCK) {
    vf_store4 (out, x);
    return;
  }
  UNROLL
  for (int i = 0; i < 4; i++)
    if (n > i * LANES)
      vf_store_part (out + i * LANES, x[i], n - i * LANES);
}

QK_DEQUANTIZE_U8 (NAME (qk_dequantize_u8))
{
  const struct qk_grids own = *g;

  for (; n >= 2 * BLOCK; n -= 2 * BLOCK, a += 2 * BLOCK, out += 2 * BLOCK) {
    dequantize_block (a, BLOCK, &own, out);
    dequantize_block (a + BLOCK, BLOCK, &own, out + BLOCK);
  }
  for (; n >= BLOCK; n -= BLOCK, a += BLOCK, out += BLOCK)
    dequantize_block (a, BLOCK, &own, out);
  if (n > 0)
    dequantize_block (a, n, &own, out);
}

INLINE void
clamp_blocks (const uint8_t *a, const int count, vi lo, vi hi, uint8_t *out)
{
  vi x[8];

  UNROLL
  for (int i = 0; i < count; i++)
    x[i] = v_load_part (a + i * BLOCK, BLOCK);
  UNROLL
  for (int i = 0; i < count; i++)
    v_store_part (out + i * BLOCK, v_min_u8 (v_max_u8 (x[i], lo), hi), BLOCK);
}

QK_CLAMP_U8 (NAME (qk_clamp_u8))
{
  const vi l = v_set8 (lo), h = v_set8 (hi);

  for (; n >= 8 * BLOCK; n -= 8 * BLOCK, a += 8 * BLOCK, out += 8 * BLOCK)
    clamp_blocks (a, 8, l, h, out);
  for (; n >= BLOCK; n -= BLOCK, a += BLOCK, out += BLOCK)
    clamp_blocks (a, 1, l, h, out);
  if (n > 0)
    v_store_part (out, v_min_u8 (v_max_u8 (v_load_part (a, n), l), h), n);
}

/* The first N channels at X of a window, no more than a block. */
INLINE void
maxpool_block (const struct qk_window *w, const uint8_t *x, int64_t n, vi lo,
               vi hi, uint8_t *out)
{
  const int64_t row_pitch = w->row_pitch, col_pitch = w->col_pitch;
  vi best = lo;

  for (int r = w->rows; r > 0; r--, x += row_pitch) {
    const uint8_t *at = x;

    for (int s = w->cols; s > 0; s--, at += col_pitch)
      best = v_max_u8 (best, v_load_part (at, n));
  }
  v_store_part (out, v_min_u8 (best, hi), n);
}

QK_MAXPOOL_U8 (NAME (qk_maxpool_u8))
{
  const vi l = v_set8 (lo), h = v_set8 (hi);
  int64_t c = 0;

  for (; c + BLOCK <= channels; c += BLOCK)
    maxpool_block (w, w->x + c, BLOCK, l, h, out + c);
  if (c < channels)
    maxpool_block (w, w->x + c, channels - c, l, h, out + c);
}

#ifndef OWN_AVGPOOL
QK_AVGPOOL_U8 (NAME (qk_avgpool_u8))
{
  const struct qk_grids g = { .zp = zp, .lo = lo, .hi = hi };
  const vi all_z = v_set32 (zp * (w->rows * w->cols));
  const vf count = vf_set ((float) w->count);

  for (int64_t c = 0; c < channels; c += BLOCK) {
    const int64_t n = channels - c;
    vi sum[4], part[4];
    vf mean[4];

    UNROLL
    for (int i = 0; i < 4; i++)
      sum[i] = v_zero ();
    for (int r = 0; r < w->rows; r++) {
      const uint8_t *x = w->x + r * w->row_pitch + c;

      for (int s = 0; s < w->cols; s++, x += w->col_pitch) {
        v_widen4 (v_load_part (x, n), part);
        UNROLL
        for (int i = 0; i < 4; i++)
          sum[i] = v_add32 (sum[i], part[i]);
      }
    }
    UNROLL
    for (int i = 0; i < 4; i++)
      mean[i] = vf_div (v_float (v_sub32 (sum[i], all_z)), count);
    v_store_part (out + c, to_bytes (mean, &g, false), n);
  }
}
#endif
