/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* norm.c: normalisation of rows and of groups of channels; see norm.h. */
#include "config.h"

#include "norm.h"

#include <string.h>

#include "multiversion.h"

#define LANES 8 /* sums of real numbers are of so many parts, in every level */
#define BLOCK 1024  /* elements on the stack */
#define PIECE 32768 /* 255 * 255 * so many fit uint32 */

void
norm_plan (const struct qk_shape *shape, bool per_sample, int64_t groups,
           bool centered, float eps, struct norm *out)
{
  const int64_t c = shape->dims[shape->ndim - 1];
  const int64_t rows = qk_shape_count (shape) / shape->dims[0] / c;

  *out = (struct norm){ .channels = c,
                        .rows = per_sample ? rows : 1,
                        .blocks = per_sample ? 1 : rows,
                        .groups = groups,
                        .centered = centered,
                        .eps = eps };
}

/* Numbers of each channel. */
struct channels {
  int64_t *sum, *squares;
  double *real, *real_squares;
  int32_t *piece;
  uint32_t *piece_squares;
  float *mean, *factor;
};

static size_t
channels_at (const struct norm *n, void *scratch, struct channels *c)
{
  const size_t count = (size_t) n->channels;
  char *base = scratch;

  c->sum = (int64_t *) (void *) base;
  c->squares = c->sum + count;
  c->real = (double *) (void *) base;
  c->real_squares = c->real + count;
  c->piece = (int32_t *) (void *) (base + 16 * count);
  c->piece_squares = (uint32_t *) (void *) (base + 20 * count);
  c->mean = (float *) (void *) base;
  c->factor = c->mean + count;
  return (24 * count + 63) & ~(size_t) 63;
}

size_t
norm_scratch (const struct norm *n)
{
  static char nothing[1];
  struct channels c;

  return channels_at (n, nothing, &c);
}

/* ---- statistics of bytes ----------------------------------------------- */

QK_LOOP (static, sum_piece,
         (const uint8_t *restrict x, int64_t n, int32_t z,
          int32_t *restrict sum, uint32_t *restrict squares),
         (x, n, z, sum, squares))
{
  int32_t s = 0;
  uint32_t q = 0;

#pragma omp simd reduction(+ : s, q)
  for (int64_t i = 0; i < n; i++) {
    const int32_t v = x[i] - z;

    s += v;
    q += (uint32_t) (v * v);
  }
  *sum = s;
  *squares = q;
}

/* All elements are of one set. */
static struct qk_norm
one_set (const struct norm *n, const uint8_t *x, const struct qk_qparams *q)
{
  const int64_t count = n->rows * n->channels;
  int64_t sum = 0, squares = 0;

  for (int64_t i = 0; i < count; i += PIECE) {
    uint32_t part_squares;
    int32_t part;

    sum_piece (x + i, count - i < PIECE ? count - i : PIECE, q->zero_point,
               &part, &part_squares);
    sum += part;
    squares += part_squares;
  }
  return qk_norm_of (count, sum, squares, q->scale, n->eps, n->centered);
}

QK_LOOP (static, add_row,
         (const uint8_t *restrict x, int64_t n, int32_t z,
          int32_t *restrict sum, uint32_t *restrict squares),
         (x, n, z, sum, squares))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++) {
    const int32_t v = x[i] - z;

    sum[i] += v;
    squares[i] += (uint32_t) (v * v);
  }
}

static void
sum_channels (const struct norm *n, const uint8_t *x, int32_t z,
              struct channels *c)
{
  const size_t count = (size_t) n->channels;

  memset (c->sum, 0, 2 * count * sizeof *c->sum);
  for (int64_t r0 = 0; r0 < n->rows; r0 += PIECE) {
    memset (c->piece, 0, 2 * count * sizeof *c->piece);
    for (int64_t r = r0; r < n->rows && r < r0 + PIECE; r++)
      add_row (x + r * n->channels, n->channels, z, c->piece,
               c->piece_squares);
    for (int64_t i = 0; i < n->channels; i++) {
      c->sum[i] += c->piece[i];
      c->squares[i] += c->piece_squares[i];
    }
  }
}

void
norm_of_bytes (const struct norm *n, const uint8_t *x,
               const struct qk_qparams *q, void *scratch, struct qk_norm *out)
{
  const int64_t width = n->channels / n->groups;
  struct channels c;

  if (n->groups == 1) {
    *out = one_set (n, x, q);
    return;
  }
  channels_at (n, scratch, &c);
  sum_channels (n, x, q->zero_point, &c);
  for (int64_t g = 0; g < n->groups; g++) {
    int64_t sum = 0, squares = 0;

    for (int64_t i = g * width; i < (g + 1) * width; i++) {
      sum += c.sum[i];
      squares += c.squares[i];
    }
    out[g] = qk_norm_of (n->rows * width, sum, squares, q->scale, n->eps,
                         n->centered);
  }
}

/* ---- statistics of real numbers ---------------------------------------- */

/* sum (x - mean), or with SQUARE of its square. */
QK_LOOP_VALUE (static, double, sum_reals,
               (const float *x, int64_t n, double mean, bool square),
               (x, n, mean, square))
{
  double part[LANES] = { 0 }, sum = 0;
  int64_t i = 0;

  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) {
      const double v = (double) x[i + l] - mean;

      part[l] += square ? v * v : v;
    }
  for (; i < n; i++)
    part[i % LANES] += square ? ((double) x[i] - mean) * ((double) x[i] - mean)
                              : (double) x[i] - mean;
  for (int l = 0; l < LANES; l++)
    sum += part[l];
  return sum;
}

static struct qk_norm
real_norm (const struct norm *n, double mean, double variance)
{
  return (struct qk_norm){ (float) mean,
                           (float) (1.0 / sqrt (variance + (double) n->eps)) };
}

QK_LOOP (static, add_reals,
         (const float *restrict x, int64_t n, const double *restrict mean,
          bool square, double *restrict sum),
         (x, n, mean, square, sum))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++) {
    const double v = (double) x[i] - mean[i];

    sum[i] += square ? v * v : v;
  }
}

/* The sums of each group's channels, to each of them; divided by COUNT. */
static void
share_sums (const struct norm *n, double count, double *sum)
{
  const int64_t width = n->channels / n->groups;

  for (int64_t g = 0; g < n->groups; g++) {
    double all = 0;

    for (int64_t i = g * width; i < (g + 1) * width; i++)
      all += sum[i];
    for (int64_t i = g * width; i < (g + 1) * width; i++)
      sum[i] = all / count;
  }
}

void
norm_of_reals (const struct norm *n, const float *x, void *scratch,
               struct qk_norm *out)
{
  const int64_t width = n->channels / n->groups, all = n->rows * n->channels;
  const double count = (double) (n->rows * width);
  struct channels c;

  if (n->groups == 1) {
    const double mean
      = n->centered ? sum_reals (x, all, 0, false) / count : 0.0;

    *out = real_norm (n, mean, sum_reals (x, all, mean, true) / count);
    return;
  }
  channels_at (n, scratch, &c);
  memset (c.real, 0, 2 * (size_t) n->channels * sizeof *c.real);
  for (int64_t r = 0; r < n->rows && n->centered; r++) /* from 0, for now */
    add_reals (x + r * n->channels, n->channels, c.real_squares, false,
               c.real);
  share_sums (n, count, c.real);
  for (int64_t r = 0; r < n->rows; r++)
    add_reals (x + r * n->channels, n->channels, c.real, true, c.real_squares);
  share_sums (n, count, c.real_squares);
  for (int64_t g = 0; g < n->groups; g++)
    out[g] = real_norm (n, c.real[g * width], c.real_squares[g * width]);
}

/* ---- elements ---------------------------------------------------------- */

QK_LOOP (static, bytes_to_reals,
         (const uint8_t *restrict x, int64_t n, int32_t z, float *restrict y),
         (x, n, z, y))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = (float) (x[i] - z);
}

/* In place, one set. */
QK_LOOP (static, apply_one,
         (const float *x, int64_t n, struct qk_norm s,
          const float *restrict gamma, const float *restrict beta, float *y),
         (x, n, s, gamma, beta, y))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = qk_norm_real (x[i], s, gamma[i], beta[i]);
}

QK_LOOP (static, apply_each,
         (const float *x, int64_t n, const float *restrict mean,
          const float *restrict factor, const float *restrict gamma,
          const float *restrict beta, float *y),
         (x, n, mean, factor, gamma, beta, y))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = qk_norm_real (x[i], (struct qk_norm){ mean[i], factor[i] },
                         gamma[i], beta[i]);
}

QK_LOOP (static, to_grid,
         (const float *restrict x, int64_t n, float inv, int32_t zp,
          int32_t lo, int32_t hi, uint8_t *restrict y),
         (x, n, inv, zp, lo, hi, y))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = (uint8_t) qk_quantize (x[i], inv, zp, lo, hi);
}

/* What each channel is normalised by, where there are several sets. */
static void
spread (const struct norm *n, const struct qk_norm *statistics,
        const struct channels *c)
{
  const int64_t width = n->channels / n->groups;

  for (int64_t i = 0; n->groups > 1 && i < n->channels; i++) {
    c->mean[i] = statistics[i / width].mean;
    c->factor[i] = statistics[i / width].factor;
  }
}

/* Channels FIRST to END of a row, normalised; X may be Y. */
static void
apply (const struct norm *n, const struct qk_norm *statistics,
       const struct channels *c, const float *gamma, const float *beta,
       const float *x, int64_t first, int64_t end, float *y)
{
  if (n->groups == 1)
    apply_one (x, end - first, *statistics, gamma + first, beta + first, y);
  else
    apply_each (x, end - first, c->mean + first, c->factor + first,
                gamma + first, beta + first, y);
}

void
norm_reals (const struct norm *n, const float *x,
            const struct qk_norm *statistics, const float *gamma,
            const float *beta, void *scratch, float *y)
{
  struct channels c;

  channels_at (n, scratch, &c);
  spread (n, statistics, &c);
  for (int64_t r = 0; r < n->rows; r++)
    apply (n, statistics, &c, gamma, beta, x + r * n->channels, 0, n->channels,
           y + r * n->channels);
}

void
norm_bytes_real (const struct norm *n, const uint8_t *x,
                 const struct qk_qparams *q, const struct qk_norm *statistics,
                 const float *gamma, const float *beta, void *scratch,
                 float *y)
{
  bytes_to_reals (x, n->rows * n->channels, q->zero_point, y);
  norm_reals (n, y, statistics, gamma, beta, scratch, y);
}

void
norm_bytes (const struct norm *n, const uint8_t *x, const struct qk_qparams *q,
            const struct qk_norm *statistics, const float *gamma,
            const float *beta, const struct qk_qparams *out, int32_t lo,
            int32_t hi, void *scratch, uint8_t *y)
{
  const float inv = 1.0f / out->scale;
  float some[BLOCK];
  struct channels c;

  channels_at (n, scratch, &c);
  spread (n, statistics, &c);
  for (int64_t r = 0; r < n->rows; r++)
    for (int64_t i = 0; i < n->channels; i += BLOCK) {
      const int64_t end = n->channels - i < BLOCK ? n->channels : i + BLOCK;
      const int64_t at = r * n->channels + i;

      bytes_to_reals (x + at, end - i, q->zero_point, some);
      apply (n, statistics, &c, gamma, beta, some, i, end, some);
      to_grid (some, end - i, inv, out->zero_point, lo, hi, y + at);
    }
}
