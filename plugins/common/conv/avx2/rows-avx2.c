/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rows-avx2.c: loops over blocks of rows that compilers do not make good use of
 * sixteen registers for; AVX2 with FMA, which the gradients of weights may
 * use. */
#include "config.h"

#include <immintrin.h>

#include "conv/rows.h"

enum { VEC = 8 }; /* channels at a time */

/* Two vectors of sums. */
struct pair {
  __m256d low, high;
};

static inline struct pair
pair_load (const double *x)
{
  return (struct pair){ _mm256_loadu_pd (x), _mm256_loadu_pd (x + 4) };
}

static inline void
pair_store (double *x, struct pair p)
{
  _mm256_storeu_pd (x, p.low);
  _mm256_storeu_pd (x + 4, p.high);
}

static inline struct pair
pair_of (__m256 x)
{
  return (struct pair){ _mm256_cvtps_pd (_mm256_castps256_ps128 (x)),
                        _mm256_cvtps_pd (_mm256_extractf128_ps (x, 1)) };
}

static inline struct pair
pair_add (struct pair a, struct pair b)
{
  return (struct pair){ _mm256_add_pd (a.low, b.low),
                        _mm256_add_pd (a.high, b.high) };
}

static inline struct pair
pair_mul (struct pair a, struct pair b)
{
  return (struct pair){ _mm256_mul_pd (a.low, b.low),
                        _mm256_mul_pd (a.high, b.high) };
}

/* A channel's sums stay in registers from row to row, in the order of the
 * portable loop. */
size_t
qk_rows_moments__avx2 (const float *x, size_t n, size_t period, double *sum,
                       double *sq)
{
  const size_t end = n / period * period;

  for (size_t j = 0; j < period; j += VEC) {
    struct pair s = pair_load (sum + j), q = pair_load (sq + j);

    for (size_t i = j; i < end; i += period) {
      const struct pair v = pair_of (_mm256_loadu_ps (x + i));

      s = pair_add (s, v);
      q = pair_add (q, pair_mul (v, v));
    }
    pair_store (sum + j, s);
    pair_store (sq + j, q);
  }
  return end;
}

size_t
qk_rows_grad_sums__avx2 (const float *dout, const float *acc, size_t n,
                         size_t period, const struct qk_conv_mask *m,
                         double *sg, double *sgu)
{
  const size_t end = n / period * period;
  const __m256 lo = _mm256_set1_ps (m->lo), hi = _mm256_set1_ps (m->hi);

  for (size_t j = 0; j < period; j += VEC) {
    const __m256 a = _mm256_loadu_ps (m->a + j);
    const __m256 b = _mm256_loadu_ps (m->b + j);
    struct pair s = pair_load (sg + j), su = pair_load (sgu + j);

    for (size_t i = j; i < end; i += period) {
      const __m256 u = _mm256_loadu_ps (acc + i);
      const __m256 y = _mm256_add_ps (_mm256_mul_ps (u, a), b);
      const __m256 open = _mm256_and_ps (_mm256_cmp_ps (y, lo, _CMP_GE_OQ),
                                         _mm256_cmp_ps (y, hi, _CMP_LE_OQ));
      const struct pair g
        = pair_of (_mm256_and_ps (open, _mm256_loadu_ps (dout + i)));

      s = pair_add (s, g);
      su = pair_add (su, pair_mul (g, pair_of (u)));
    }
    pair_store (sg + j, s);
    pair_store (sgu + j, su);
  }
  return end;
}

/* dw of channels J .. J + VEC of one output line; the nine sums stay in
 * registers. */
static void
line_dw (const float *const *row, float *dw, int64_t c, int64_t q,
         const float *d, int64_t j)
{
  __m256 g[9];

#pragma GCC unroll 9
  for (int t = 0; t < 9; t++)
    g[t] = _mm256_loadu_ps (dw + t * c + j);
  for (int64_t at = j; at < q * c; at += c) {
    const __m256 y = _mm256_loadu_ps (d + at);

#pragma GCC unroll 9
    for (int t = 0; t < 9; t++)
      g[t] = _mm256_fmadd_ps (y, _mm256_loadu_ps (row[t / 3] + at + t % 3 * c),
                              g[t]);
  }
#pragma GCC unroll 9
  for (int t = 0; t < 9; t++)
    _mm256_storeu_ps (dw + t * c + j, g[t]);
}

/* dx of the same; the sums of the two columns that the next window touches as
 * well stay in registers. */
static void
line_dx (float *const *drow, const float *w, int64_t c, int64_t q,
         const float *d, int64_t j)
{
  __m256 k[9], left[3], middle[3];

#pragma GCC unroll 9
  for (int t = 0; t < 9; t++)
    k[t] = _mm256_loadu_ps (w + t * c + j);
#pragma GCC unroll 3
  for (int a = 0; a < 3; a++) {
    left[a] = _mm256_loadu_ps (drow[a] + j);
    middle[a] = _mm256_loadu_ps (drow[a] + c + j);
  }
  for (int64_t at = j; at < q * c; at += c) {
    const __m256 y = _mm256_loadu_ps (d + at);

#pragma GCC unroll 3
    for (int a = 0; a < 3; a++) {
      float *dx = drow[a] + at;

      _mm256_storeu_ps (dx, _mm256_fmadd_ps (y, k[3 * a], left[a]));
      left[a] = _mm256_fmadd_ps (y, k[3 * a + 1], middle[a]);
      middle[a]
        = _mm256_fmadd_ps (y, k[3 * a + 2], _mm256_loadu_ps (dx + 2 * c));
    }
  }
#pragma GCC unroll 3
  for (int a = 0; a < 3; a++) {
    _mm256_storeu_ps (drow[a] + q * c + j, left[a]);
    _mm256_storeu_ps (drow[a] + (q + 1) * c + j, middle[a]);
  }
}

void
qk_rows_depthwise_3x3_grad__avx2 (const float *const *row, float *const *drow,
                                  const float *w, float *dw, int64_t c,
                                  int64_t q, const float *d)
{
  for (int64_t j = 0; j < c; j += VEC) {
    line_dw (row, dw, c, q, d, j);
    line_dx (drow, w, c, q, d, j);
  }
}
