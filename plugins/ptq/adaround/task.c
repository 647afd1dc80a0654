/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* task.c: rounding the weights of one layer by gradient descent. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/base.h>
#include <qatkit/rng.h>

#include "gemm/gemm.h"
#include "multiversion.h"
#include "softround/softround.h"
#include "task.h"

/* What descent works on; arrays of weights elements. */
struct descent {
  int64_t weights;
  float *v, *m1, *m2;    /* variables, and Adam's moments of their gradients */
  float *base;           /* floor (w / s) */
  float *soft;           /* weights as rounded now */
  float *grad;           /* by soft */
  float *x, *y, *target; /* rows of samples, their outputs, those wanted */
  void *memory;
};

/* grad = dy^T x, group by group. */
static void
weight_gradient (const struct ptqlayer *l, const float *dy, const float *x,
                 int64_t rows, float *grad)
{
  const int64_t kg = l->channels / l->groups, depth = l->depth;

  if (l->groups == 1) {
    qk_sgemm_threaded (l->float_backend, l->threads, true, false, l->channels,
                       depth, rows, dy, l->channels, x, depth, 0.0f, grad,
                       depth);
    return;
  }
#ifdef _OPENMP
#pragma omp parallel for num_threads(l->threads) schedule(static)
#endif
  for (int64_t k = 0; k < l->channels; k++) {
    float *g = grad + k * depth;

    memset (g, 0, (size_t) depth * sizeof *g);
    for (int64_t i = 0; i < rows; i++) {
      const float d = dy[i * l->channels + k];
      const float *a = x + (i * l->groups + k / kg) * depth;

      for (int64_t j = 0; j < depth; j++)
        g[j] += d * a[j];
    }
  }
}

static struct softround_grid
grid_of (const struct ptqlayer *l, int64_t channel)
{
  return (struct softround_grid){ l->scale[channel], l->qmin, l->qmax };
}

static int
descent_open (const struct ptqlayer *l, int64_t rows, struct descent *d)
{
  const int64_t weights = l->channels * l->depth;
  const int64_t patch = l->groups * l->depth;
  const size_t floats
    = (size_t) (6 * weights + rows * (patch + 2 * l->channels));
  float *p = qk_alloc (floats * sizeof *p);

  if (p == NULL)
    return qk_oom ("%lld weights", (long long) weights);
  d->memory = p;
  d->weights = weights;
  d->v = p;
  d->m1 = p + weights;
  d->m2 = p + 2 * weights;
  d->base = p + 3 * weights;
  d->soft = p + 4 * weights;
  d->grad = p + 5 * weights;
  d->x = p + 6 * weights;
  d->y = d->x + rows * patch;
  d->target = d->y + rows * l->channels;
  for (int64_t k = 0; k < l->channels; k++) {
    const int64_t at = k * l->depth;
    const struct softround_grid g = grid_of (l, k);

    softround_start (l->w + at, l->depth, &g, d->base + at, d->v + at);
  }
  return 0;
}

static void
soften (const struct ptqlayer *l, struct descent *d)
{
#ifdef _OPENMP
#pragma omp parallel for num_threads(l->threads) schedule(static)
#endif
  for (int64_t k = 0; k < l->channels; k++) {
    const int64_t at = k * l->depth;
    const struct softround_grid g = grid_of (l, k);

    softround_weights (d->base + at, d->v + at, l->depth, &g, d->soft + at);
  }
}

/* Some samples, by chance. */
static void
gather (const struct ptqlayer *l, struct descent *d, int64_t rows,
        struct qk_rng *rng)
{
  const size_t patch = (size_t) (l->groups * l->depth);
  const size_t k = (size_t) l->channels;

  for (int64_t i = 0; i < rows; i++) {
    const size_t from = qk_rng_below (rng, (uint64_t) l->n);

    memcpy (d->x + (size_t) i * patch, l->x + from * patch,
            patch * sizeof (float));
    memcpy (d->target + (size_t) i * k, l->target + from * k,
            k * sizeof (float));
  }
}

/* dy of the mean over rows of the summed squared errors, in place of Y.  Up to
 * the clamp's edges the gradient passes, as ReLU's does not at 0; where both
 * sides are clamped alike there is no error. */
QK_LOOP (static, error_gradient,
         (float *restrict y, const float *restrict target, int64_t n, float f,
          float lo, float hi),
         (y, target, n, f, lo, hi))
{
  for (int64_t i = 0; i < n; i++)
    y[i] = ((y[i] > lo) & (y[i] < hi)) ? f * (y[i] - target[i]) : 0.0f;
}

static void
step (const struct ptqlayer *l, struct descent *d,
      const struct softround_step *by)
{
#ifdef _OPENMP
#pragma omp parallel for num_threads(l->threads) schedule(static)
#endif
  for (int64_t k = 0; k < l->channels; k++) {
    const int64_t at = k * l->depth;
    const struct softround_grid g = grid_of (l, k);

    softround_move (by, l->depth, &g, d->base + at, d->grad + at, d->v + at,
                    d->m1 + at, d->m2 + at);
  }
}

static double
error_of (const struct ptqlayer *l, struct descent *d, int64_t rows,
          const float *q)
{
  const int64_t patch = l->groups * l->depth;
  double sum = 0.0;

  for (int64_t i = 0; i < d->weights; i++)
    d->soft[i] = q[i] * l->scale[i / l->depth];
  for (int64_t i = 0; i < l->n; i += rows) {
    const int64_t n = l->n - i < rows ? l->n - i : rows;

    ptqlayer_product (l, l->x + i * patch, n, d->soft, true, d->y);
    for (int64_t j = 0; j < n * l->channels; j++) {
      const double e
        = (double) d->y[j] - (double) l->target[i * l->channels + j];

      sum += e * e;
    }
  }
  return sum / (double) (l->n * l->channels);
}

/* The integers that d->v says, or the nearest, to Q. */
static void
round_all (const struct ptqlayer *l, const struct descent *d, bool nearest,
           float *q)
{
  for (int64_t k = 0; k < l->channels; k++) {
    const int64_t at = k * l->depth;
    const struct softround_grid g = grid_of (l, k);

    if (nearest)
      softround_nearest (l->w + at, l->depth, &g, q + at);
    else
      softround_finish (d->base + at, d->v + at, l->depth, &g, q + at);
  }
}

static void
descend (const struct ptqlayer *l, const struct adaround_options *opt,
         uint64_t seed, struct descent *d, int64_t rows)
{
  struct qk_rng rng;

  qk_rng_seed (&rng, seed, 0xada);
  for (int i = 0; i < opt->iterations; i++) {
    const struct softround_step by = softround_schedule (
      i, opt->iterations, opt->warm, opt->rate, opt->strength);

    gather (l, d, rows, &rng);
    soften (l, d);
    ptqlayer_product (l, d->x, rows, d->soft, false, d->y);
    error_gradient (d->y, d->target, rows * l->channels, 2.0f / (float) rows,
                    l->lo, l->hi);
    weight_gradient (l, d->y, d->x, rows, d->grad);
    step (l, d, &by);
  }
}

int64_t
adaround_solve (const struct ptqlayer *l, const struct adaround_options *opt,
                uint64_t seed, float *q, double *before, double *after)
{
  const int64_t rows = opt->rows < l->n ? opt->rows : l->n;
  struct descent d = { 0 };
  int64_t changed = 0;
  float *nearest;
  int r;

  if ((r = descent_open (l, rows, &d)) < 0)
    return r;
  round_all (l, &d, true, q);
  *before = error_of (l, &d, rows, q);
  descend (l, opt, seed, &d, rows);
  round_all (l, &d, false, q);
  *after = error_of (l, &d, rows, q);
  nearest = d.grad; /* no longer needed */
  round_all (l, &d, true, nearest);
  if (!(*after < *before)) {
    memcpy (q, nearest, (size_t) d.weights * sizeof *q);
    *after = *before;
  }
  for (int64_t i = 0; i < d.weights; i++)
    changed += q[i] != nearest[i];
  qk_free (d.memory);
  return changed;
}
