/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grouped-f32-avx512.c: kernels of grouped.c for AVX-512. */
#include "config.h"

#include <immintrin.h>
#include <stdbool.h>

#include "gemm/grouped-kernels.h"

#define PART static inline __attribute__ ((always_inline))
#define UNROLL _Pragma ("GCC unroll 8")

enum { LANES = GROUPED_LANES, TAPS = GROUPED_TAPS };

/* Number J of each four. */
PART __m512
of_four (__m512 x, const int j)
{
  return j == 0   ? _mm512_permute_ps (x, 0x00)
         : j == 1 ? _mm512_permute_ps (x, 0x55)
         : j == 2 ? _mm512_permute_ps (x, 0xaa)
                  : _mm512_permute_ps (x, 0xff);
}

/* Number J of each group, in all of its channels. */
PART void
spread (const int group, __m512 x, __m512 *out)
{
  const __m512 low = group == 8 ? _mm512_shuffle_f32x4 (x, x, 0xa0) : x;
  const __m512 high = group == 8 ? _mm512_shuffle_f32x4 (x, x, 0xf5) : x;

  UNROLL
  for (int j = 0; j < group; j++)
    out[j] = of_four (j < 4 ? low : high, j % 4);
}

/* The outputs FIRST .. END have all taps within the line of inputs. */
PART void
inside (const struct grouped_line *l, int64_t *first, int64_t *end)
{
  const int64_t room = l->width + l->pad - TAPS;

  *first = (l->pad + l->stride - 1) / l->stride;
  *end = room < 0 ? 0 : room / l->stride + 1;
  *first = *first < l->n ? *first : l->n;
  *end = *end < *first ? *first : *end < l->n ? *end : l->n;
}

PART bool
is_inside (const struct grouped_line *l, int64_t col)
{
  return col >= 0 && col < l->width;
}

/* Output I, all of whose taps are inside where ALL. */
PART void
pixel_data (const int group, const struct grouped_line *l, const bool all,
            int64_t i, __m512 (*w)[8], float *dx)
{
  __m512 d[8];

  spread (group, _mm512_loadu_ps (l->d + i * l->step), d);
  UNROLL
  for (int s = 0; s < TAPS; s++) {
    const int64_t col = i * l->stride - l->pad + s;

    if (all || is_inside (l, col)) {
      __m512 sum = _mm512_loadu_ps (dx + col * l->step);

      UNROLL
      for (int j = 0; j < group; j++)
        sum = _mm512_fmadd_ps (d[j], w[s][j], sum);
      _mm512_storeu_ps (dx + col * l->step, sum);
    }
  }
}

PART void
line_data (const int group, const struct grouped_line *l, const float *taps,
           float *dx)
{
  __m512 w[TAPS][8];
  int64_t first, end, i = 0;

  UNROLL
  for (int s = 0; s < TAPS; s++)
    UNROLL
  for (int j = 0; j < group; j++)
    w[s][j] = _mm512_loadu_ps (taps + (s * group + j) * LANES);
  inside (l, &first, &end);
  for (; i < first; i++)
    pixel_data (group, l, false, i, w, dx);
  for (; i < end; i++)
    pixel_data (group, l, true, i, w, dx);
  for (; i < l->n; i++)
    pixel_data (group, l, false, i, w, dx);
}

static void
data (int group, const struct grouped_line *l, const float *w, float *dx)
{
  if (group == 4)
    line_data (4, l, w, dx);
  else
    line_data (8, l, w, dx);
}

/* Where the inputs are. */
struct input {
  const float *x;
  const uint8_t *bytes;
  __m512 zero;
};

PART __m512
input_at (const struct input *in, const bool is_bytes, int64_t at)
{
  if (!is_bytes)
    return _mm512_loadu_ps (in->x + at);
  return _mm512_sub_ps (
    _mm512_cvtepi32_ps (_mm512_cvtepu8_epi32 (
      _mm_loadu_si128 ((const __m128i *) (const void *) (in->bytes + at)))),
    in->zero);
}

PART void
pixel_weights (const int group, const struct grouped_line *l, const bool all,
               int64_t i, const struct input *in, const bool is_bytes,
               __m512 (*sum)[8])
{
  __m512 d[8];

  spread (group, _mm512_loadu_ps (l->d + i * l->step), d);
  UNROLL
  for (int s = 0; s < TAPS; s++) {
    const int64_t col = i * l->stride - l->pad + s;

    if (all || is_inside (l, col)) {
      const __m512 x = input_at (in, is_bytes, col * l->step);

      UNROLL
      for (int j = 0; j < group; j++)
        sum[s][j] = _mm512_fmadd_ps (d[j], x, sum[s][j]);
    }
  }
}

PART void
line_weights (const int group, const struct grouped_line *l,
              const struct input *in, const bool is_bytes, float *sums)
{
  __m512 sum[TAPS][8];
  int64_t first, end, i = 0;

  UNROLL
  for (int s = 0; s < TAPS; s++)
    UNROLL
  for (int j = 0; j < group; j++)
    sum[s][j] = _mm512_loadu_ps (sums + (s * group + j) * LANES);
  inside (l, &first, &end);
  for (; i < first; i++)
    pixel_weights (group, l, false, i, in, is_bytes, sum);
  for (; i < end; i++)
    pixel_weights (group, l, true, i, in, is_bytes, sum);
  for (; i < l->n; i++)
    pixel_weights (group, l, false, i, in, is_bytes, sum);
  UNROLL
  for (int s = 0; s < TAPS; s++)
    UNROLL
  for (int j = 0; j < group; j++)
    _mm512_storeu_ps (sums + (s * group + j) * LANES, sum[s][j]);
}

static void
weights (int group, const struct grouped_line *l, const float *x,
         const uint8_t *bytes, float zero, float *sum)
{
  const struct input in = { x, bytes, _mm512_set1_ps (zero) };

  if (group == 4 && x)
    line_weights (4, l, &in, false, sum);
  else if (group == 4)
    line_weights (4, l, &in, true, sum);
  else if (x)
    line_weights (8, l, &in, false, sum);
  else
    line_weights (8, l, &in, true, sum);
}

const struct grouped_kernels grouped_kernels__avx512 = { data, weights };
