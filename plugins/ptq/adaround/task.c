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

static inline float
clamped (float y, float lo, float hi)
{
  y = y > lo ? y : lo;
  return y < hi ? y : hi;
}

/* Rows of groups of a handful of weights each: not worth a library call. */
static void
small_product (const struct adaround_task *t, const float *x, int64_t rows,
               const float *w, float *y)
{
  const int64_t kg = t->channels / t->groups, depth = t->depth;

#ifdef _OPENMP
#pragma omp parallel for num_threads(t->threads) schedule(static)
#endif
  for (int64_t i = 0; i < rows; i++)
    for (int64_t k = 0; k < t->channels; k++) {
      const float *a = x + (i * t->groups + k / kg) * depth;
      float sum = 0.0f;

      for (int64_t j = 0; j < depth; j++)
        sum += a[j] * w[k * depth + j];
      y[i * t->channels + k] = sum;
    }
}

/* Add BIAS to a row, and clamp it. */
QK_LOOP (static, finish_row,
         (float *restrict y, int64_t n, const float *restrict bias, float lo,
          float hi),
         (y, n, bias, lo, hi))
{
  for (int64_t k = 0; k < n; k++)
    y[k] = clamped (y[k] + bias[k], lo, hi);
}

void
adaround_product (const struct adaround_task *t, const float *x, int64_t rows,
                  const float *w, bool clamp, float *y)
{
  if (t->groups == 1)
    qk_sgemm_threaded (t->float_backend, t->threads, false, true, rows,
                       t->channels, t->depth, x, t->depth, w, t->depth, 0.0f,
                       y, t->channels);
  else
    small_product (t, x, rows, w, y);
  for (int64_t i = 0; i < rows; i++)
    finish_row (y + i * t->channels, t->channels, t->bias,
                clamp ? t->lo : -INFINITY, clamp ? t->hi : INFINITY);
}

/* grad = dy^T x, group by group. */
static void
weight_gradient (const struct adaround_task *t, const float *dy,
                 const float *x, int64_t rows, float *grad)
{
  const int64_t kg = t->channels / t->groups, depth = t->depth;

  if (t->groups == 1) {
    qk_sgemm_threaded (t->float_backend, t->threads, true, false, t->channels,
                       depth, rows, dy, t->channels, x, depth, 0.0f, grad,
                       depth);
    return;
  }
#ifdef _OPENMP
#pragma omp parallel for num_threads(t->threads) schedule(static)
#endif
  for (int64_t k = 0; k < t->channels; k++) {
    float *g = grad + k * depth;

    memset (g, 0, (size_t) depth * sizeof *g);
    for (int64_t i = 0; i < rows; i++) {
      const float d = dy[i * t->channels + k];
      const float *a = x + (i * t->groups + k / kg) * depth;

      for (int64_t j = 0; j < depth; j++)
        g[j] += d * a[j];
    }
  }
}

static struct softround_grid
grid_of (const struct adaround_task *t, int64_t channel)
{
  return (struct softround_grid){ t->scale[channel], t->qmin, t->qmax };
}

static int
descent_open (const struct adaround_task *t, int64_t rows, struct descent *d)
{
  const int64_t weights = t->channels * t->depth;
  const int64_t patch = t->groups * t->depth;
  const size_t floats
    = (size_t) (6 * weights + rows * (patch + 2 * t->channels));
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
  d->target = d->y + rows * t->channels;
  for (int64_t k = 0; k < t->channels; k++) {
    const int64_t at = k * t->depth;
    const struct softround_grid g = grid_of (t, k);

    softround_start (t->w + at, t->depth, &g, d->base + at, d->v + at);
  }
  return 0;
}

static void
soften (const struct adaround_task *t, struct descent *d)
{
#ifdef _OPENMP
#pragma omp parallel for num_threads(t->threads) schedule(static)
#endif
  for (int64_t k = 0; k < t->channels; k++) {
    const int64_t at = k * t->depth;
    const struct softround_grid g = grid_of (t, k);

    softround_weights (d->base + at, d->v + at, t->depth, &g, d->soft + at);
  }
}

/* Some samples, by chance. */
static void
gather (const struct adaround_task *t, struct descent *d, int64_t rows,
        struct qk_rng *rng)
{
  const size_t patch = (size_t) (t->groups * t->depth);
  const size_t k = (size_t) t->channels;

  for (int64_t i = 0; i < rows; i++) {
    const size_t from = qk_rng_below (rng, (uint64_t) t->n);

    memcpy (d->x + (size_t) i * patch, t->x + from * patch,
            patch * sizeof (float));
    memcpy (d->target + (size_t) i * k, t->target + from * k,
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
step (const struct adaround_task *t, struct descent *d,
      const struct softround_step *by)
{
#ifdef _OPENMP
#pragma omp parallel for num_threads(t->threads) schedule(static)
#endif
  for (int64_t k = 0; k < t->channels; k++) {
    const int64_t at = k * t->depth;
    const struct softround_grid g = grid_of (t, k);

    softround_move (by, t->depth, &g, d->base + at, d->grad + at, d->v + at,
                    d->m1 + at, d->m2 + at);
  }
}

static double
error_of (const struct adaround_task *t, struct descent *d, int64_t rows,
          const float *q)
{
  const int64_t patch = t->groups * t->depth;
  double sum = 0.0;

  for (int64_t i = 0; i < d->weights; i++)
    d->soft[i] = q[i] * t->scale[i / t->depth];
  for (int64_t i = 0; i < t->n; i += rows) {
    const int64_t n = t->n - i < rows ? t->n - i : rows;

    adaround_product (t, t->x + i * patch, n, d->soft, true, d->y);
    for (int64_t j = 0; j < n * t->channels; j++) {
      const double e
        = (double) d->y[j] - (double) t->target[i * t->channels + j];

      sum += e * e;
    }
  }
  return sum / (double) (t->n * t->channels);
}

/* The integers that d->v says, or the nearest, to Q. */
static void
round_all (const struct adaround_task *t, const struct descent *d,
           bool nearest, float *q)
{
  for (int64_t k = 0; k < t->channels; k++) {
    const int64_t at = k * t->depth;
    const struct softround_grid g = grid_of (t, k);

    if (nearest)
      softround_nearest (t->w + at, t->depth, &g, q + at);
    else
      softround_finish (d->base + at, d->v + at, t->depth, &g, q + at);
  }
}

static void
descend (const struct adaround_task *t, const struct adaround_options *opt,
         struct descent *d, int64_t rows)
{
  struct qk_rng rng;

  qk_rng_seed (&rng, t->seed, 0xada);
  for (int i = 0; i < opt->iterations; i++) {
    const struct softround_step by = softround_schedule (
      i, opt->iterations, opt->warm, opt->rate, opt->strength);

    gather (t, d, rows, &rng);
    soften (t, d);
    adaround_product (t, d->x, rows, d->soft, false, d->y);
    error_gradient (d->y, d->target, rows * t->channels, 2.0f / (float) rows,
                    t->lo, t->hi);
    weight_gradient (t, d->y, d->x, rows, d->grad);
    step (t, d, &by);
  }
}

int64_t
adaround_solve (const struct adaround_task *t,
                const struct adaround_options *opt, float *q, double *before,
                double *after)
{
  const int64_t rows = opt->rows < t->n ? opt->rows : t->n;
  struct descent d = { 0 };
  int64_t changed = 0;
  float *nearest;
  int r;

  if (t->n < 1)
    return qk_error (-ENODATA, "no calibration samples");
  if ((r = descent_open (t, rows, &d)) < 0)
    return r;
  round_all (t, &d, true, q);
  *before = error_of (t, &d, rows, q);
  descend (t, opt, &d, rows);
  round_all (t, &d, false, q);
  *after = error_of (t, &d, rows, q);
  nearest = d.grad; /* no longer needed */
  round_all (t, &d, true, nearest);
  if (!(*after < *before)) {
    memcpy (q, nearest, (size_t) d.weights * sizeof *q);
    *after = *before;
  }
  for (int64_t i = 0; i < d.weights; i++)
    changed += q[i] != nearest[i];
  qk_free (d.memory);
  return changed;
}
