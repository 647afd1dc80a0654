/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vec256.h: the vectors that the kernel templates are written in, 256 bits.
 *
 * A "block" is LANES * 4 bytes.  widen4 spreads a block of bytes over four
 * vectors of int32 in an order private to this file, in which narrow4 packs
 * them again; "ordered" forms keep the order of memory.  Loads and stores
 * take a count of elements and touch nothing beyond it. */
#ifndef VEC256_H
#define VEC256_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "part16.h"

#define LANES 8
#define BLOCK 32 /* bytes of a vector */

typedef __m256i vi;
typedef __m256 vf;

/* Loops over registers must vanish, except under a sanitizer: its checks,
 * unrolled, keep a compiler busy for many minutes. */
#ifdef QK_SANITIZED
#define UNROLL
#elif defined __clang__
#define UNROLL _Pragma ("clang loop unroll(full)")
#else
#define UNROLL _Pragma ("GCC unroll 16")
#endif

#define INLINE static inline __attribute__ ((always_inline, unused))

INLINE void
v_prefetch (const void *p)
{
  _mm_prefetch (p, _MM_HINT_T0);
}
INLINE vi
v_load (const void *p)
{
  return _mm256_loadu_si256 (p);
}
INLINE void
v_store (void *p, vi v)
{
  _mm256_storeu_si256 (p, v);
}
INLINE vi
v_zero (void)
{
  return _mm256_setzero_si256 ();
}
INLINE vi
v_set8 (int x)
{
  return _mm256_set1_epi8 ((char) x);
}
INLINE vi
v_set16 (int x)
{
  return _mm256_set1_epi16 ((short) x);
}
INLINE vi
v_set32 (int x)
{
  return _mm256_set1_epi32 (x);
}
INLINE vi
v_add32 (vi a, vi b)
{
  return _mm256_add_epi32 (a, b);
}
INLINE vi
v_sub32 (vi a, vi b)
{
  return _mm256_sub_epi32 (a, b);
}
INLINE vi
v_add16 (vi a, vi b)
{
  return _mm256_add_epi16 (a, b);
}
INLINE vi
v_sub16 (vi a, vi b)
{
  return _mm256_sub_epi16 (a, b);
}
INLINE vi
v_madd16 (vi a, vi b)
{
  return _mm256_madd_epi16 (a, b);
}
INLINE vi
v_shl16 (vi a, const int n)
{
  return _mm256_slli_epi16 (a, n);
}
INLINE vi
v_srl16 (vi a, const int n)
{
  return _mm256_srli_epi16 (a, n);
}
INLINE vi
v_sra16 (vi a, const int n)
{
  return _mm256_srai_epi16 (a, n);
}
INLINE vi
v_sub8 (vi a, vi b)
{
  return _mm256_sub_epi8 (a, b);
}
INLINE vi
v_and (vi a, vi b)
{
  return _mm256_and_si256 (a, b);
}
INLINE vf
v_as_float (vi a)
{
  return _mm256_castsi256_ps (a);
}
INLINE vi
v_shl32 (vi a, const int n)
{
  return _mm256_slli_epi32 (a, n);
}
INLINE vi
v_sra32 (vi a, const int n)
{
  return _mm256_srai_epi32 (a, n);
}
INLINE vi
v_mul32 (vi a, vi b)
{
  return _mm256_mullo_epi32 (a, b);
}
INLINE vi
v_xor (vi a, vi b)
{
  return _mm256_xor_si256 (a, b);
}
INLINE vi
v_subs_i8 (vi a, vi b)
{
  return _mm256_subs_epi8 (a, b);
}
INLINE vi
v_max_u8 (vi a, vi b)
{
  return _mm256_max_epu8 (a, b);
}
INLINE vi
v_min_u8 (vi a, vi b)
{
  return _mm256_min_epu8 (a, b);
}
INLINE vf
v_float (vi a)
{
  return _mm256_cvtepi32_ps (a);
}
INLINE vi
v_round (vf a)
{
  return _mm256_cvtps_epi32 (a);
}
INLINE vf
vf_load (const float *p)
{
  return _mm256_loadu_ps (p);
}
INLINE vf
vf_set (float x)
{
  return _mm256_set1_ps (x);
}
INLINE vf
vf_add (vf a, vf b)
{
  return _mm256_add_ps (a, b);
}
INLINE vf
vf_sub (vf a, vf b)
{
  return _mm256_sub_ps (a, b);
}
INLINE vf
vf_mul (vf a, vf b)
{
  return _mm256_mul_ps (a, b);
}
INLINE vf
vf_div (vf a, vf b)
{
  return _mm256_div_ps (a, b);
}
/* The second operand where one is NaN, as numeric.h's comparisons. */
INLINE vf
vf_max (vf a, vf b)
{
  return _mm256_max_ps (a, b);
}
INLINE vf
vf_min (vf a, vf b)
{
  return _mm256_min_ps (a, b);
}

/* Four bytes at P in every lane. */
INLINE vi
v_spread4 (const void *p)
{
  int32_t x;

  memcpy (&x, p, 4);
  return _mm256_set1_epi32 (x);
}

/* Sixteen bytes at P in both halves of a vector. */
INLINE vi
v_spread16 (const void *p)
{
  return _mm256_broadcastsi128_si256 (_mm_loadu_si128 (p));
}

/* The bytes of A that INDEX names, among sixteen; 0 for 0x80. */
INLINE vi
v_pick (vi a, vi index)
{
  return _mm256_shuffle_epi8 (a, index);
}

/* The first N bytes of a block, 0 < N <= BLOCK; the others are 0. */
INLINE vi
v_load_part (const void *p, int64_t n)
{
  if (n >= BLOCK)
    return v_load (p);
  return _mm256_inserti128_si256 (
    _mm256_castsi128_si256 (part16_load (p, n)),
    part16_load ((const uint8_t *) p + 16, n - 16), 1);
}

INLINE void
v_store_part (void *p, vi v, int64_t n)
{
  if (n >= BLOCK) {
    v_store (p, v);
    return;
  }
  part16_store (p, _mm256_castsi256_si128 (v), n);
  part16_store ((uint8_t *) p + 16, _mm256_extracti128_si256 (v, 1), n - 16);
}

INLINE vf
vf_load_part (const float *p, int64_t n)
{
  if (n >= LANES)
    return vf_load (p);
  return _mm256_castsi256_ps (v_load_part (p, n * 4));
}

INLINE void
vf_store_part (float *p, vf v, int64_t n)
{
  if (n >= LANES)
    _mm256_storeu_ps (p, v);
  else if (n > 0)
    v_store_part (p, _mm256_castps_si256 (v), n * 4);
}

INLINE void
vf_store4 (float *p, const vf x[4])
{
  UNROLL
  for (int i = 0; i < 4; i++)
    _mm256_storeu_ps (p + i * LANES, x[i]);
}

/* Bytes a, b, c, d of a channel side by side: out[i] has four of them a
 * lane.  With zeros for b, c, d it widens to int32. */
INLINE void
v_interleave4 (vi a, vi b, vi c, vi d, vi out[4])
{
  const vi ab0 = _mm256_unpacklo_epi8 (a, b);
  const vi ab1 = _mm256_unpackhi_epi8 (a, b);
  const vi cd0 = _mm256_unpacklo_epi8 (c, d);
  const vi cd1 = _mm256_unpackhi_epi8 (c, d);

  out[0] = _mm256_unpacklo_epi16 (ab0, cd0);
  out[1] = _mm256_unpackhi_epi16 (ab0, cd0);
  out[2] = _mm256_unpacklo_epi16 (ab1, cd1);
  out[3] = _mm256_unpackhi_epi16 (ab1, cd1);
}

INLINE void
v_widen4 (vi a, vi out[4])
{
  const vi z = v_zero ();

  v_interleave4 (a, z, z, z, out);
}

/* A block of bytes as floats less Z, in the order of widen4: with 0x4b above
 * it a byte is the float 2^23 + byte, and the difference is exact. */
INLINE void
v_real4 (vi a, int32_t z, vf out[4])
{
  const vf base = vf_set ((float) (8388608 + z));
  vi w[4];

  v_interleave4 (a, v_zero (), v_zero (), v_set8 (0x4b), w);
  UNROLL
  for (int i = 0; i < 4; i++)
    out[i] = _mm256_sub_ps (_mm256_castsi256_ps (w[i]), base);
}

/* Saturate to int16, add ZP, saturate to u8; inverse order of widen4. */
INLINE vi
v_narrow4 (vi a, vi b, vi c, vi d, vi zp)
{
  const vi ab = _mm256_adds_epi16 (_mm256_packs_epi32 (a, b), zp);
  const vi cd = _mm256_adds_epi16 (_mm256_packs_epi32 (c, d), zp);

  return _mm256_packus_epi16 (ab, cd);
}

INLINE vi
v_narrow4_ordered (vi a, vi b, vi c, vi d, vi zp)
{
  const vi order = _mm256_setr_epi32 (0, 4, 1, 5, 2, 6, 3, 7);

  return _mm256_permutevar8x32_epi32 (v_narrow4 (a, b, c, d, zp), order);
}

/* Quarter I (a constant) of a block as int32, in order. */
INLINE vi
v_widen_ordered (vi a, const int i)
{
  const __m128i half
    = i < 2 ? _mm256_castsi256_si128 (a) : _mm256_extracti128_si256 (a, 1);

  return _mm256_cvtepu8_epi32 (i % 2 ? _mm_srli_si128 (half, 8) : half);
}

/* A quarter of a block of bytes as floats less Z. */
INLINE vf
v_real_ordered (vi a, int32_t z, const int i)
{
  return v_float (v_sub32 (v_widen_ordered (a, i), v_set32 (z)));
}

/* The first N bytes at P, 2 * LANES at most, as int16; the others are 0. */
INLINE vi
v_widen16 (const void *p, int64_t n)
{
  uint8_t bytes[2 * LANES] = { 0 };

  if (n < 2 * LANES) {
    memcpy (bytes, p, (size_t) n);
    p = bytes;
  }
  return _mm256_cvtepu8_epi16 (_mm_loadu_si128 (p));
}

/* The first N bytes of half or quarter I (a constant) of V. */
INLINE void
v_store_half (void *p, vi v, const int i, int64_t n)
{
  const __m128i h
    = i ? _mm256_extracti128_si256 (v, 1) : _mm256_castsi256_si128 (v);

  part16_store (p, h, n);
}

INLINE void
v_store_quarter (void *p, vi v, const int i, int64_t n)
{
  __m128i h
    = i < 2 ? _mm256_castsi256_si128 (v) : _mm256_extracti128_si256 (v, 1);

  if (i % 2)
    h = _mm_srli_si128 (h, 8);
  part16_store (p, h, n < 8 ? n : 8);
}

/* A table of 256 bytes as sixteen pieces, each but those for 0 and 128 as the
 * exclusive or with the piece before.  From 0..127 and from 128..255 eight
 * pieces each are looked at, with sixteen less to look for at each step: where
 * that becomes negative, v_pick gives 0. */
struct v_table {
  vi piece[16];
};

INLINE struct v_table
v_table_load (const uint8_t *table)
{
  struct v_table t;

  UNROLL
  for (int i = 0; i < 16; i++)
    t.piece[i] = v_spread16 (table + 16 * i);
  UNROLL
  for (int i = 15; i > 0; i--)
    if (i != 8)
      t.piece[i] = v_xor (t.piece[i], t.piece[i - 1]);
  return t;
}

/* table[x] for every byte x of X */
INLINE vi
v_table_at (const struct v_table *t, vi x)
{
  const vi sixteen = v_set8 (16);
  vi high = v_xor (x, v_set8 (0x80));
  vi y = v_xor (v_pick (t->piece[0], x), v_pick (t->piece[8], high));

  UNROLL
  for (int i = 1; i < 8; i++) {
    x = v_subs_i8 (x, sixteen);
    high = v_subs_i8 (high, sixteen);
    y = v_xor (y, v_pick (t->piece[i], x));
    y = v_xor (y, v_pick (t->piece[8 + i], high));
  }
  return y;
}

#endif /* VEC256_H */
