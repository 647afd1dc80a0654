/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gather.c: elements of samples by their places along each axis. */
#include "config.h"

#include <string.h>

#include "gather.h"
#include "multiversion.h"

#define PARALLEL_MIN 65536 /* bytes worth starting threads for */

/* ---- the plan ---------------------------------------------------------- */

/* Whether SIZE places are those of all WHOLE elements in their order. */
static bool
is_whole (const int32_t *place, int64_t size, int64_t whole)
{
  if (size != whole)
    return false;
  for (int64_t i = 0; i < size; i++)
    if (place[i] != i)
      return false;
  return true;
}

/* How many of the SIZE places from the first on are one run, and its step. */
static int64_t
run_length (const int32_t *place, int64_t size, int *step)
{
  int64_t n = 1;

  *step = size > 1 && place[0] >= 0 && place[1] == place[0] + 1;
  while (n < size && place[n] == place[n - 1] + *step)
    n++;
  return n;
}

/* Cut the axis of rows; its places are units of the row. */
static void
cut_runs (struct gather *g, const int32_t *place, int64_t size)
{
  g->width = size;
  for (int64_t i = 0; i < size;) {
    struct gather_run *r = &g->run[g->runs++];

    r->count = run_length (place + i, size - i, &r->step);
    r->from = place[i];
    i += r->count;
  }
}

/* Offsets along the axes around, the outermost first. */
static void
fill_offsets (struct gather *g, const int32_t *place,
              const struct qk_shape *in, const struct qk_shape *out,
              int64_t *memory)
{
  int64_t step = g->in;

  for (int d = 1; d <= g->axes; d++) {
    step /= in->dims[d];
    g->size[d - 1] = out->dims[d];
    g->at[d - 1] = memory;
    for (int64_t i = 0; i < out->dims[d]; i++)
      *memory++ = *place < 0 ? -1 : *place * step, place++;
  }
}

int
gather_plan (const char *who, const int32_t *place, const struct qk_shape *in,
             const struct qk_shape *out, struct gather *g)
{
  int64_t all = 0, behind;
  int last = out->ndim - 1;

  memset (g, 0, sizeof *g);
  for (int d = 1; d < out->ndim; d++)
    all += out->dims[d];
  behind = all - (last > 0 ? out->dims[last] : 0);
  g->unit = 1;
  while (last > 1
         && is_whole (place + behind, out->dims[last], in->dims[last])) {
    g->unit *= out->dims[last--];
    behind -= out->dims[last];
  }
  g->in = g->out = 1;
  for (int d = 1; d <= last; d++) {
    g->in *= in->dims[d];
    g->out *= out->dims[d];
  }
  g->axes = last > 0 ? last - 1 : 0;
  g->memory
    = qk_alloc ((size_t) (last > 0 ? out->dims[last] : 1) * sizeof *g->run
                + (size_t) (behind + 1) * sizeof (int64_t));
  if (g->memory == NULL)
    return qk_oom ("%s", who);
  g->run = g->memory;
  if (last > 0)
    cut_runs (g, place + behind, out->dims[last]);
  else { /* samples of one element */
    g->run[g->runs++] = (struct gather_run){ 0, 1, 1 };
    g->width = 1;
  }
  fill_offsets (
    g, place, in, out,
    (int64_t *) (void *) (g->run + (last > 0 ? out->dims[last] : 1)));
  return 0;
}

void
gather_clear (struct gather *g)
{
  qk_free (g->memory);
  memset (g, 0, sizeof *g);
}

/* The unit that row I of a sample begins at; -1: all of it is filled. */
static int64_t
row_at (const struct gather *g, int64_t i)
{
  int64_t at = 0;

  for (int k = g->axes - 1; k >= 0; k--) {
    const int64_t own = g->at[k][i % g->size[k]];

    if (own < 0)
      return -1;
    at += own;
    i /= g->size[k];
  }
  return at;
}

/* ---- copying ----------------------------------------------------------- */

/* COUNT times BYTES of X. */
static char *
repeat (char *out, const char *x, int64_t count, size_t bytes)
{
  const size_t all = (size_t) count * bytes;

  if (bytes == 1)
    memset (out, *x, all);
  else if (bytes == 4) /* floats */
    for (size_t i = 0; i < all; i += 4)
      memcpy (out + i, x, 4);
  else
    for (size_t i = 0; i < all; i += bytes)
      memcpy (out + i, x, bytes);
  return out + all;
}

static char *
copy_run (const struct gather *g, const struct gather_run *r, const char *row,
          char *out, size_t size, const void *fill)
{
  const size_t bytes = (size_t) g->unit * size;
  const char *x;

  if (row == NULL || r->from < 0)
    return repeat (out, fill, r->count * g->unit, size);
  x = row + (size_t) r->from * bytes;
  if (r->step == 0)
    return repeat (out, x, r->count, bytes);
  memcpy (out, x, (size_t) r->count * bytes);
  return out + (size_t) r->count * bytes;
}

void
gather_copy (const struct gather *g, int64_t n, const void *in, void *out,
             size_t size, const void *fill, int threads)
{
  const size_t bytes = (size_t) g->unit * size;
  const int64_t rows = g->out / g->width;

  if (n * g->out * (int64_t) bytes < PARALLEL_MIN || threads < 1)
    threads = 1;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n * rows; i++) {
    const int64_t from = row_at (g, i % rows);
    const char *row
      = (const char *) in
        + (size_t) (i / rows * g->in + (from < 0 ? 0 : from)) * bytes;
    char *to = (char *) out + (size_t) (i * g->width) * bytes;

    for (int64_t k = 0; k < g->runs; k++)
      to = copy_run (g, &g->run[k], from < 0 ? NULL : row, to, size, fill);
  }
}

/* ---- gradients --------------------------------------------------------- */

QK_LOOP (static, add_floats, (const float *restrict x, int64_t n, float *sum),
         (x, n, sum))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    sum[i] += x[i];
}

static void
add_run (const struct gather *g, const struct gather_run *r, const float *dy,
         float *row)
{
  float *dx = row + r->from * g->unit;

  if (r->step == 1)
    add_floats (dy, r->count * g->unit, dx);
  else if (g->unit == 1)
    for (int64_t i = 0; i < r->count; i++)
      *dx += dy[i];
  else
    for (int64_t i = 0; i < r->count; i++)
      add_floats (dy + i * g->unit, g->unit, dx);
}

void
gather_add (const struct gather *g, int64_t n, const float *dy, float *dx,
            int threads)
{
  const int64_t rows = g->out / g->width;

  if (n * g->out * g->unit * 4 < PARALLEL_MIN || threads < 1)
    threads = 1;
    /* places of a sample may coincide: its sums are one thread's */
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t s = 0; s < n; s++) {
    const float *y = dy + s * g->out * g->unit;
    float *x = dx + s * g->in * g->unit;

    memset (x, 0, (size_t) (g->in * g->unit) * sizeof *x);
    for (int64_t i = 0; i < rows; i++) {
      const int64_t from = row_at (g, i);

      for (int64_t k = 0; k < g->runs; y += g->run[k++].count * g->unit)
        if (from >= 0 && g->run[k].from >= 0)
          add_run (g, &g->run[k], y, x + from * g->unit);
    }
  }
}
