/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resample.c: samples of another height and width. */
#include "config.h"

#include <string.h>

#include <qatkit/numeric.h>

#include "multiversion.h"
#include "resample.h"

#define PARALLEL_MIN 16384 /* products worth starting threads for */
#define BLOCK 256          /* channels at once */

/* Where an axis stays as it is, as rows of vectors do: one tap of share 1. */
static const int32_t first[] = { 0 };
static const float whole[] = { 1.0f };

void
resample_plan (int taps, const int32_t *place, const float *share,
               const struct qk_shape *in, const struct qk_shape *out,
               struct resample *r)
{
  const int last = in->ndim - 1;
  const int64_t rows = last == 3 ? out->dims[1] * taps : 0;

  *r = (struct resample){ .h = last == 3 ? in->dims[1] : 1,
                          .w = in->dims[last - 1],
                          .p = last == 3 ? out->dims[1] : 1,
                          .q = out->dims[last - 1],
                          .c = in->dims[last],
                          .rows = last == 3 ? taps : 1,
                          .cols = taps,
                          .row = last == 3 ? place : first,
                          .a = last == 3 ? share : whole,
                          .col = place + rows,
                          .b = share + rows };
}

/* The taps of a pixel: of rows from ROW and A on, of columns from COL and B
 * on, in the sample X. */
struct taps {
  const void *x;
  int rows, cols;
  int64_t row_pitch, col_pitch; /* elements */
  const int32_t *row, *col;
  const float *a, *b;
};

static struct taps
taps_of (const struct resample *r, const void *x, int64_t p, int64_t q)
{
  return (struct taps){ .x = x,
                        .rows = r->rows,
                        .cols = r->cols,
                        .row_pitch = r->w * r->c,
                        .col_pitch = r->c,
                        .row = r->row + p * r->rows,
                        .col = r->col + q * r->cols,
                        .a = r->a + p * r->rows,
                        .b = r->b + q * r->cols };
}

/* The sums of channels FROM on, N <= BLOCK of them, in numeric.h's order;
 * REAL: element c of x as the number it stands for. */
#define DEFINE_SUMS(name, type, real)                                         \
  static inline __attribute__ ((always_inline)) void name (                   \
    const struct taps *t, int64_t from, int64_t n, int32_t zp, float *sum)    \
  {                                                                           \
    float part[BLOCK];                                                        \
                                                                              \
    (void) zp;                                                                \
    memset (sum, 0, (size_t) n * sizeof *sum);                                \
    for (int i = 0; i < t->rows; i++) {                                       \
      const float a = t->a[i];                                                \
                                                                              \
      memset (part, 0, (size_t) n * sizeof *part);                            \
      for (int j = 0; j < t->cols; j++) {                                     \
        const float b = t->b[j];                                              \
        const type *x = (const type *) t->x + t->row[i] * t->row_pitch        \
                        + t->col[j] * t->col_pitch + from;                    \
                                                                              \
        QK_SIMD                                                               \
        for (int64_t c = 0; c < n; c++)                                       \
          part[c] += b * real;                                                \
      }                                                                       \
      QK_SIMD                                                                 \
      for (int64_t c = 0; c < n; c++)                                         \
        sum[c] += a * part[c];                                                \
    }                                                                         \
  }                                                                           \
  struct taps

DEFINE_SUMS (sums_f32, float, x[c]);
DEFINE_SUMS (sums_u8, uint8_t, (float) (x[c] - zp));

QK_LOOP (static, pixel_f32,
         (const struct taps *t, int64_t from, int64_t n, float *y),
         (t, from, n, y))
{
  float sum[BLOCK];

  sums_f32 (t, from, n, 0, sum);
  memcpy (y, sum, (size_t) n * sizeof *y);
}

QK_LOOP (static, pixel_u8,
         (const struct taps *t, int64_t from, int64_t n, int32_t zp,
          int32_t lo, int32_t hi, uint8_t *y),
         (t, from, n, zp, lo, hi, y))
{
  float sum[BLOCK];

  sums_u8 (t, from, n, zp, sum);
  QK_SIMD
  for (int64_t c = 0; c < n; c++)
    y[c] = (uint8_t) qk_clamp_rounded (qk_rne (sum[c]), zp, lo, hi);
}

static int
threads_for (const struct resample *r, int64_t n, int threads)
{
  return n * r->p * r->q * r->c * r->rows * r->cols < PARALLEL_MIN
             || threads < 1
           ? 1
           : threads;
}

void
resample_f32 (const struct resample *r, int64_t n, const float *x, float *y,
              int threads)
{
  const int64_t sample = r->h * r->w * r->c;

  threads = threads_for (r, n, threads);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n * r->p * r->q; i++) {
    const struct taps t
      = taps_of (r, x + i / (r->p * r->q) * sample, i / r->q % r->p, i % r->q);

    for (int64_t c = 0; c < r->c; c += BLOCK)
      pixel_f32 (&t, c, r->c - c < BLOCK ? r->c - c : BLOCK, y + i * r->c + c);
  }
}

void
resample_u8 (const struct resample *r, int64_t n, const uint8_t *x, uint8_t *y,
             int32_t zp, int32_t lo, int32_t hi, int threads)
{
  const int64_t sample = r->h * r->w * r->c;

  threads = threads_for (r, n, threads);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n * r->p * r->q; i++) {
    const struct taps t
      = taps_of (r, x + i / (r->p * r->q) * sample, i / r->q % r->p, i % r->q);

    for (int64_t c = 0; c < r->c; c += BLOCK)
      pixel_u8 (&t, c, r->c - c < BLOCK ? r->c - c : BLOCK, zp, lo, hi,
                y + i * r->c + c);
  }
}

QK_LOOP (static, add_share,
         (float share, const float *restrict dy, int64_t n, float *dx),
         (share, dy, n, dx))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    dx[i] += share * dy[i];
}

static void
add_pixel (const struct taps *t, const float *dy, int64_t channels, float *dx)
{
  for (int i = 0; i < t->rows; i++)
    for (int j = 0; j < t->cols; j++)
      add_share (t->a[i] * t->b[j], dy, channels,
                 dx + t->row[i] * t->row_pitch + t->col[j] * t->col_pitch);
}

void
resample_add (const struct resample *r, int64_t n, const float *dy, float *dx,
              int threads)
{
  const int64_t sample = r->h * r->w * r->c;

  threads = threads_for (r, n, threads);
  /* pixels share what they are made of: a sample is one thread's */
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t s = 0; s < n; s++) {
    float *x = dx + s * sample;

    memset (x, 0, (size_t) sample * sizeof *x);
    for (int64_t i = 0; i < r->p * r->q; i++) {
      const struct taps t = taps_of (r, x, i / r->q, i % r->q);

      add_pixel (&t, dy + (s * r->p * r->q + i) * r->c, r->c, x);
    }
  }
}
