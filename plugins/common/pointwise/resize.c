/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resize.c: samples of another height and width, columns first, then rows.
 *
 * numeric.h sums along columns before rows, so that the sums of a row of the
 * input can serve all outputs that have it among their rows. */
#include "config.h"

#include "resize.h"

#define HELD 1024        /* elements of a row that are held */
#define SPARE 64         /* that kernels may go beyond them */
#define MOST_TAPS 4      /* along an axis */
#define MOST_SPAN 32     /* columns of one output */
#define LEAST_WORK 16384 /* products worth starting threads for */

/* Outputs BEGIN to END - 1 along a row, channels FROM to FROM + COUNT - 1. */
struct tile {
  int64_t begin, end, from, count;
  int64_t first, span;    /* columns of the input that they have */
  int32_t col[HELD];      /* their taps, counted from FIRST */
  int64_t row[MOST_TAPS]; /* whose sums are held, -1: none */
  float sum[MOST_TAPS][HELD + SPARE];
};

/* Columns that the taps of one output reach over, at most. */
static int64_t
most_span (const struct resample *r)
{
  int64_t most = 1;

  for (int64_t q = 0; q < r->q; q++)
    for (int i = 0; i < r->cols; i++)
      for (int j = 0; j < r->cols; j++) {
        const int64_t span
          = r->col[q * r->cols + i] - r->col[q * r->cols + j] + 1;

        most = span > most ? span : most;
      }
  return most;
}

bool
resize_has_rows (const struct pointwise *k)
{
  const struct resample *r = &k->resample;

  return k->kernels.extras->blend_rows != NULL && r->rows <= MOST_TAPS
         && r->cols <= MOST_TAPS && most_span (r) <= MOST_SPAN;
}

/* The outputs that fit from BEGIN on: their sums and the columns of the input
 * that these are of. */
static void
place_tile (const struct resample *r, struct tile *t)
{
  const int64_t room = HELD / t->count, most = HELD / r->cols;
  const int32_t *col = r->col + t->begin * r->cols;
  int64_t low = col[0], high = col[0];

  for (t->end = t->begin;
       t->end < r->q && t->end - t->begin < room && t->end - t->begin < most;
       t->end++) {
    int64_t l = low, h = high;

    for (int j = 0; j < r->cols; j++, col++) {
      l = *col < l ? *col : l;
      h = *col > h ? *col : h;
    }
    if (h - l >= room && t->end > t->begin)
      break;
    low = l;
    high = h;
  }
  t->first = low;
  t->span = high - low + 1;
  col = r->col + t->begin * r->cols;
  for (int64_t i = 0; i < (t->end - t->begin) * r->cols; i++)
    t->col[i] = (int32_t) (col[i] - low);
  for (int j = 0; j < MOST_TAPS; j++)
    t->row[j] = -1;
}

/* The sums along columns of row I of the input, in place J. */
static void
sum_row (const struct pointwise *k, struct tile *t, const uint8_t *x,
         int64_t i, int j)
{
  const struct resample *r = &k->resample;
  const struct qk_grids whole = { .za = k->op.in_q[0].zero_point, .sa = 1.0f };
  float real[HELD + SPARE];

  x += (i * r->w + t->first) * r->c + t->from;
  if (t->count == r->c)
    k->kernels.dequantize (x, t->span * r->c, &whole, real);
  else
    for (int64_t s = 0; s < t->span; s++)
      k->kernels.dequantize (x + s * r->c, t->count, &whole,
                             real + s * t->count);
  k->kernels.extras->blend_cols (real, t->col, r->b + t->begin * r->cols,
                                 r->cols, t->end - t->begin, t->count,
                                 t->sum[j]);
  t->row[j] = i;
}

/* The place of the sums of row I, which are made if they are not held; those of
 * other rows among NEEDED stay. */
static int
place_of (const struct pointwise *k, struct tile *t, const uint8_t *x,
          int64_t i, const int32_t *needed)
{
  const int rows = k->resample.rows;
  int j, free = 0;

  for (j = 0; j < rows; j++)
    if (t->row[j] == i)
      return j;
  for (j = 0; j < rows; j++) {
    bool used = false;

    for (int s = 0; s < rows; s++)
      used = used || needed[s] == t->row[j];
    free = used ? free : j;
  }
  sum_row (k, t, x, i, free);
  return free;
}

/* Row P of a tile of the output. */
static void
blend_tile (const struct pointwise *k, struct tile *t, const uint8_t *x,
            int64_t p, uint8_t *y)
{
  const struct resample *r = &k->resample;
  const int32_t zp = k->op.in_q[0].zero_point, lo = k->op.lo, hi = k->op.hi;
  const int64_t outputs = t->end - t->begin;
  const bool all = t->count == r->c;
  const int64_t runs = all ? 1 : outputs, n = all ? outputs * r->c : t->count;
  const float *part[MOST_TAPS];

  for (int j = 0; j < r->rows; j++)
    part[j] = t->sum[place_of (k, t, x, r->row[p * r->rows + j],
                               r->row + p * r->rows)];
  y += (p * r->q + t->begin) * r->c + t->from;
  for (int64_t i = 0; i < runs; i++, y += r->c) {
    k->kernels.extras->blend_rows (part, r->a + p * r->rows, r->rows, n, zp,
                                   lo, hi, y);
    for (int j = 0; j < r->rows; j++)
      part[j] += n;
  }
}

/* Rows FIRST to LAST - 1 of a sample's output. */
static void
run_part (const struct pointwise *k, const uint8_t *x, int64_t first,
          int64_t last, uint8_t *y)
{
  const struct resample *r = &k->resample;
  const int64_t span = most_span (r), channels = HELD / (span > 1 ? span : 2);
  struct tile t;

  for (t.from = 0; t.from < r->c; t.from += t.count) {
    t.count = r->c - t.from < channels ? r->c - t.from : channels;
    for (t.begin = 0; t.begin < r->q; t.begin = t.end) {
      place_tile (r, &t);
      for (int64_t p = first; p < last; p++)
        blend_tile (k, &t, x, p, y);
    }
  }
}

void
resize_rows (const struct pointwise *k, int64_t n, const uint8_t *x,
             uint8_t *y)
{
  const struct resample *r = &k->resample;
  const int64_t work = n * r->p * r->q * r->c * r->rows * r->cols;
  const int threads = work < LEAST_WORK ? 1 : k->threads;
  const int64_t parts = threads < r->p ? threads : r->p;

#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n * parts; i++) {
    const int64_t sample = i / parts, part = i % parts;

    run_part (k, x + sample * r->h * r->w * r->c, r->p * part / parts,
              r->p * (part + 1) / parts, y + sample * r->p * r->q * r->c);
  }
}
