/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clip.c: bounds on gradients. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/cpu.h>

#include "train/clip.h"

QK_LOOP (static, clamp_all, (float *restrict x, size_t n, float most),
         (x, n, most))
{
  for (size_t i = 0; i < n; i++) {
    /* NaN stays NaN */
    const float low = x[i] < -most ? -most : x[i];

    x[i] = low > most ? most : low;
  }
}

QK_LOOP (static, scale_all, (float *restrict x, size_t n, float by),
         (x, n, by))
{
  for (size_t i = 0; i < n; i++)
    x[i] *= by;
}

#define LANES 8

/* The sum of squares, in LANES sums next to each other. */
QK_LOOP_VALUE (static, double, squares, (const float *x, size_t n), (x, n))
{
  double sum[LANES] = { 0 }, all = 0;
  size_t i, j;

  for (i = 0; i + LANES <= n; i += LANES)
    for (j = 0; j < LANES; j++)
      sum[j] += (double) x[i + j] * (double) x[i + j];
  for (j = 0; i + j < n; j++)
    sum[j] += (double) x[i + j] * (double) x[i + j];
  for (j = 0; j < LANES; j++)
    all += sum[j];
  return all;
}

void
qk_clip_value (struct qk_optimize *o, float most, int threads)
{
  int i;

  (void) threads; /* without OpenMP there is one */
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (i = 0; i < o->n; i++)
    clamp_all (o->trained[i].grad, o->trained[i].count, most);
}

int
qk_clip_norm (struct qk_optimize *o, double most, int threads)
{
  double *sum = calloc ((size_t) o->n + 1, sizeof *sum), all = 0;
  float by;
  int i, r = 0;

  (void) threads;
  if (sum == NULL)
    return qk_oom ("gradient clipping");
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (i = 0; i < o->n; i++)
    sum[i] = squares (o->trained[i].grad, o->trained[i].count);
  for (i = 0; r == 0 && i < o->n; i++) {
    all += sum[i];
    if (!isfinite (sum[i]))
      r = qk_error (-EDOM, "the gradient of '%s' is not finite",
                    o->trained[i].name);
  }
  free (sum);
  by = (float) (most / (sqrt (all) + 1e-6));
  if (r < 0 || by >= 1.0f)
    return r;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (i = 0; i < o->n; i++)
    scale_all (o->trained[i].grad, o->trained[i].count, by);
  return 0;
}
