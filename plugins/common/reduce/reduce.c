/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reduce.c: one number out of those along some axes of a sample. */
#include "config.h"

#include "reduce.h"

#include <string.h>

#include "multiversion.h"

/* Put an axis of SIZE elements, STEP apart, before those of a kind. */
static void
put_axis (int64_t size, int64_t step, int *n, int64_t *sizes, int64_t *steps,
          bool join)
{
  if (join) {
    sizes[0] *= size;
    return;
  }
  memmove (sizes + 1, sizes, (size_t) *n * sizeof *sizes);
  memmove (steps + 1, steps, (size_t) *n * sizeof *steps);
  sizes[0] = size;
  steps[0] = step;
  ++*n;
}

void
reduce_plan (const struct qk_shape *in, int axes, struct reduce *p)
{
  bool last = false, any = false;

  memset (p, 0, sizeof *p);
  p->in = p->outputs = p->count = 1;
  for (int i = in->ndim - 1; i >= 1; i--) {
    const bool reduced = (axes >> i & 1) != 0;
    const bool join = any && reduced == last;

    if (reduced)
      put_axis (in->dims[i], p->in, &p->reduced, p->size, p->step, join);
    else
      put_axis (in->dims[i], p->in, &p->kept, p->kept_size, p->kept_step,
                join);
    *(reduced ? &p->count : &p->outputs) *= in->dims[i];
    p->in *= in->dims[i];
    last = reduced;
    any = true;
  }
  p->inner = p->kept > 0 && p->kept_step[p->kept - 1] == 1
               ? p->kept_size[p->kept - 1]
               : 1;
}

int64_t
reduce_kept_at (const struct reduce *p, int64_t i)
{
  int64_t at = 0;

  for (int j = p->kept - 1; j >= 0; j--) {
    at += i % p->kept_size[j] * p->kept_step[j];
    i /= p->kept_size[j];
  }
  return at;
}

int64_t
reduce_row_at (const struct reduce *p, int64_t i)
{
  int64_t at = 0;

  for (int j = p->reduced - 2; j >= 0; j--) {
    at += i % p->size[j] * p->step[j];
    i /= p->size[j];
  }
  return at;
}

/* out[c] = f (out[c], x[i, c]) of ROWS rows, STEP apart, of N elements. */
#define ROWS_LOOP(name, in, acc, expression)                                  \
  QK_LOOP (static, name,                                                      \
           (const in *restrict x, int64_t rows, int64_t step, int64_t n,      \
            acc *restrict out),                                               \
           (x, rows, step, n, out))                                           \
  {                                                                           \
    for (int64_t i = 0; i < rows; i++, x += step)                             \
      QK_SIMD                                                                 \
    for (int64_t c = 0; c < n; c++) {                                         \
      const acc v = x[c], w = out[c];                                         \
                                                                              \
      out[c] = expression;                                                    \
    }                                                                         \
  }

ROWS_LOOP (sum_u8, uint8_t, int32_t, w + v)
ROWS_LOOP (max_u8, uint8_t, int32_t, v > w ? v : w)
ROWS_LOOP (min_u8, uint8_t, int32_t, v < w ? v : w)

typedef double wide;
ROWS_LOOP (sum_f32, float, wide, w + v)
/* NaN wins */
ROWS_LOOP (max_f32, float, wide, v > w || v != v ? v : w)
ROWS_LOOP (min_f32, float, wide, v < w || v != v ? v : w)

/* The sum of N bytes side by side. */
QK_LOOP_VALUE (static, int32_t, total_u8, (const uint8_t *x, int64_t n),
               (x, n))
{
  int32_t sum = 0;

#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++)
    sum += x[i];
  return sum;
}

#define LANES 256 /* outputs taken together */

/* Outputs from I on that lie side by side. */
static int64_t
together (const struct reduce *p, int64_t i, int64_t left)
{
  const int64_t run = p->inner - i % p->inner;
  const int64_t n = run < left ? run : left;

  return n < LANES ? n : LANES;
}

#define REDUCE(name, in, acc, type, least, most, total)                       \
  void name (const struct reduce *p, int function, const in *x,               \
             int64_t first, int64_t count, acc *out)                          \
  {                                                                           \
    const int64_t rows = p->size[p->reduced - 1];                             \
    const int64_t step = p->step[p->reduced - 1];                             \
    const acc start = function == QK_LARGEST    ? (acc) (least)               \
                      : function == QK_SMALLEST ? (acc) (most)                \
                                                : 0;                          \
                                                                              \
    for (int64_t i = first, n; i < first + count; i += n, out += n) {         \
      const in *from = x + reduce_kept_at (p, i);                             \
                                                                              \
      n = together (p, i, first + count - i);                                 \
      for (int64_t c = 0; c < n; c++)                                         \
        out[c] = start;                                                       \
      for (int64_t r = 0; r < p->count / rows; r++) {                         \
        const in *at = from + reduce_row_at (p, r);                           \
                                                                              \
        if (function == QK_LARGEST)                                           \
          max_##type (at, rows, step, n, out);                                \
        else if (function == QK_SMALLEST)                                     \
          min_##type (at, rows, step, n, out);                                \
        else                                                                  \
          total (at, rows, step, n, out);                                     \
      }                                                                       \
    }                                                                         \
  }

/* Rows of one element are added as one. */
static void
add_u8 (const uint8_t *x, int64_t rows, int64_t step, int64_t n, int32_t *out)
{
  if (n == 1 && step == 1)
    out[0] += total_u8 (x, rows);
  else
    sum_u8 (x, rows, step, n, out);
}

REDUCE (reduce_u8, uint8_t, int32_t, u8, 0, 255, add_u8)
REDUCE (reduce_f32, float, wide, f32, -INFINITY, INFINITY, sum_f32)
