/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resample.c: the two passes of PIL's resize, with the weights of taps.c.
 * 8 bits are kept between them. */
#include "config.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define IMAGE_AVX2 1
#include <immintrin.h>
#endif

#include <qatkit/cpu.h>

#include "image-priv.h"

static inline uint8_t
to_byte (int32_t sum)
{
  sum >>= IMAGE_WEIGHT_BITS;
  return (uint8_t) (sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void
horizontal_plain (const uint8_t *src, uint8_t *dst, const struct image_taps *t)
{
  int64_t i;

  for (i = 0; i < t->n; i++) {
    const uint8_t *p = src + (int64_t) t->first[i] * 4;
    const int32_t *w = t->weight + i * t->stride;
    int32_t r = 1 << (IMAGE_WEIGHT_BITS - 1), g = r, b = r, a = r;
    int k;

    for (k = 0; k < t->count[i]; k++) {
      r += p[4 * k] * w[k];
      g += p[4 * k + 1] * w[k];
      b += p[4 * k + 2] * w[k];
      a += p[4 * k + 3] * w[k];
    }
    dst[4 * i] = to_byte (r);
    dst[4 * i + 1] = to_byte (g);
    dst[4 * i + 2] = to_byte (b);
    dst[4 * i + 3] = to_byte (a);
  }
}

static void
vertical_plain (const uint8_t *const *rows, const int32_t *weight, int count,
                uint8_t *dst, int64_t n)
{
  int64_t x;

  for (x = 0; x < n; x += 64) {
    int32_t sum[64];
    int i, k;

    for (i = 0; i < 64; i++)
      sum[i] = 1 << (IMAGE_WEIGHT_BITS - 1);
    for (k = 0; k < count; k++) {
      const uint8_t *p = rows[k] + x;
      const int32_t w = weight[k];

      for (i = 0; i < 64; i++)
        sum[i] += p[i] * w;
    }
    for (i = 0; i < 64; i++)
      dst[x + i] = to_byte (sum[i]);
  }
}

static const struct image_kernels kernels_plain
  = { "plain", horizontal_plain, vertical_plain };

#ifdef IMAGE_AVX2

/* A weight w of up to 2^23, or as far below 0, is split as
 * w = (w >> 12) * 2^12 + (w & 4095): both parts fit an int16, so that two
 * multiply-adds of 16-bit pairs give the exact sum.  (Shifting the first of
 * them may drop upper bits; the sum of both has them again.) */

/* The sums of output I, shifted: r g b x. */
__attribute__ ((target ("avx2"), always_inline)) static inline __m128i
horizontal_sum (const uint8_t *src, const struct image_taps *t, int64_t i,
                int pairs)
{
  /* r0 r1 g0 g1 b0 b1 x0 x1, each as 16 bits */
  const __m128i order
    = _mm_setr_epi8 (0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1);
  const uint8_t *p = src + (int64_t) (t->first[i] - t->back[i]) * 4;
  const int32_t *w = t->part + 2 * i * pairs;
  __m128i hi = _mm_setzero_si128 ();
  __m128i lo = _mm_set1_epi32 (1 << (IMAGE_WEIGHT_BITS - 1));

  for (int k = 0; k < pairs; k++) {
    const __m128i px = _mm_shuffle_epi8 (
      _mm_loadl_epi64 ((const __m128i *) (p + 8 * k)), order);

    hi = _mm_add_epi32 (hi, _mm_madd_epi16 (px, _mm_set1_epi32 (w[2 * k])));
    lo
      = _mm_add_epi32 (lo, _mm_madd_epi16 (px, _mm_set1_epi32 (w[2 * k + 1])));
  }
  return _mm_srai_epi32 (_mm_add_epi32 (_mm_slli_epi32 (hi, 12), lo),
                         IMAGE_WEIGHT_BITS);
}

__attribute__ ((target ("avx2"), always_inline)) static inline void
horizontal_pairs (const uint8_t *src, uint8_t *dst, const struct image_taps *t,
                  int pairs)
{
  int64_t i;

  for (i = 0; i + 4 <= t->n; i += 4) {
    const __m128i a = horizontal_sum (src, t, i, pairs);
    const __m128i b = horizontal_sum (src, t, i + 1, pairs);
    const __m128i c = horizontal_sum (src, t, i + 2, pairs);
    const __m128i d = horizontal_sum (src, t, i + 3, pairs);

    _mm_storeu_si128 (
      (__m128i *) (dst + 4 * i),
      _mm_packus_epi16 (_mm_packs_epi32 (a, b), _mm_packs_epi32 (c, d)));
  }
  for (; i < t->n; i++) {
    const __m128i a = horizontal_sum (src, t, i, pairs);
    const __m128i b = _mm_packs_epi32 (a, a);
    const int32_t px = _mm_cvtsi128_si32 (_mm_packus_epi16 (b, b));

    memcpy (dst + 4 * i, &px, 4);
  }
}

/* The numbers of pairs of scales up to 3 are written out. */
__attribute__ ((target ("avx2"))) static void
horizontal_avx2 (const uint8_t *src, uint8_t *dst, const struct image_taps *t)
{
  switch (t->pairs) {
  case 0:
    horizontal_plain (src, dst, t);
    break;
  case 1:
    horizontal_pairs (src, dst, t, 1);
    break;
  case 2:
    horizontal_pairs (src, dst, t, 2);
    break;
  case 3:
    horizontal_pairs (src, dst, t, 3);
    break;
  default:
    horizontal_pairs (src, dst, t, t->pairs);
  }
}

/* 32 bytes of the sum of rows, in unpacked order. */
__attribute__ ((target ("avx2"))) static inline void
vertical_32 (const uint8_t *const *rows, int64_t x, const int32_t *weight,
             int count, uint8_t *dst)
{
  const __m256i zero = _mm256_setzero_si256 ();
  const __m256i round = _mm256_set1_epi32 (1 << (IMAGE_WEIGHT_BITS - 1));
  __m256i hi[4], lo[4];
  int j, k;

  for (j = 0; j < 4; j++) {
    hi[j] = zero;
    lo[j] = round;
  }
  for (k = 0; k < count; k += 2) {
    const bool two = k + 1 < count;
    const int32_t w0 = weight[k], w1 = two ? weight[k + 1] : 0;
    const __m256i a = _mm256_loadu_si256 ((const __m256i *) (rows[k] + x));
    const __m256i b
      = two ? _mm256_loadu_si256 ((const __m256i *) (rows[k + 1] + x)) : zero;
    const __m256i wh = _mm256_set1_epi32 (image_pair (w0 >> 12, w1 >> 12));
    const __m256i wl = _mm256_set1_epi32 (image_pair (w0 & 4095, w1 & 4095));
    const __m256i ab0 = _mm256_unpacklo_epi8 (a, b);
    const __m256i ab1 = _mm256_unpackhi_epi8 (a, b);
    __m256i px[4];

    px[0] = _mm256_unpacklo_epi8 (ab0, zero);
    px[1] = _mm256_unpackhi_epi8 (ab0, zero);
    px[2] = _mm256_unpacklo_epi8 (ab1, zero);
    px[3] = _mm256_unpackhi_epi8 (ab1, zero);
    for (j = 0; j < 4; j++) {
      hi[j] = _mm256_add_epi32 (hi[j], _mm256_madd_epi16 (px[j], wh));
      lo[j] = _mm256_add_epi32 (lo[j], _mm256_madd_epi16 (px[j], wl));
    }
  }
  for (j = 0; j < 4; j++)
    lo[j] = _mm256_srai_epi32 (
      _mm256_add_epi32 (_mm256_slli_epi32 (hi[j], 12), lo[j]),
      IMAGE_WEIGHT_BITS);
  /* pack undoes unpack within each 128-bit half */
  _mm256_storeu_si256 (
    (__m256i *) dst, _mm256_packus_epi16 (_mm256_packs_epi32 (lo[0], lo[1]),
                                          _mm256_packs_epi32 (lo[2], lo[3])));
}

__attribute__ ((target ("avx2"))) static void
vertical_avx2 (const uint8_t *const *rows, const int32_t *weight, int count,
               uint8_t *dst, int64_t n)
{
  int64_t x;

  for (x = 0; x < n; x += 32)
    vertical_32 (rows, x, weight, count, dst + x);
}

static const struct image_kernels kernels_avx2
  = { "avx2", horizontal_avx2, vertical_avx2 };

#endif

const struct image_kernels *
image_kernels_plain (void)
{
  return &kernels_plain;
}

const struct image_kernels *
image_kernels_best (void)
{
#ifdef IMAGE_AVX2
  if (qk_cpu_current () >= QK_CPU_AVX2)
    return &kernels_avx2;
#endif
  return &kernels_plain;
}
