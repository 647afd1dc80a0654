/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* task.c: rounding the weights of one layer by gradient descent. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/base.h>
#include <qatkit/elementary.h>
#include <qatkit/numeric.h>
#include <qatkit/rng.h>

#include "gemm/gemm.h"
#include "multiversion.h"
#include "task.h"

/* The stretched sigmoid h (v) = clip (1.2 sigmoid (v) - 0.1, 0, 1). */
#define STRETCH 1.2f
#define SHIFT (-0.1f)

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
  /* h (v) is the fraction that rounding down leaves */
  for (int64_t i = 0; i < weights; i++) {
    const float u = t->w[i] / t->scale[i / t->depth];
    const float rest = u - floorf (u);

    d->base[i] = floorf (u);
    d->v[i] = -logf (STRETCH / (rest - SHIFT) - 1.0f);
  }
  return 0;
}

static inline float
up (float sigma)
{
  return clamped (STRETCH * sigma + SHIFT, 0.0f, 1.0f);
}

/* The weights of a channel of scale SCALE as V rounds them. */
QK_LOOP (static, soften_row,
         (const float *restrict base, const float *restrict v, int64_t n,
          float scale, float qmin, float qmax, float *restrict soft),
         (base, v, n, scale, qmin, qmax, soft))
{
  for (int64_t j = 0; j < n; j++)
    soft[j] = scale * clamped (base[j] + up (qk_sigmoid (v[j])), qmin, qmax);
}

static void
soften (const struct adaround_task *t, struct descent *d)
{
#ifdef _OPENMP
#pragma omp parallel for num_threads(t->threads) schedule(static)
#endif
  for (int64_t k = 0; k < t->channels; k++) {
    const int64_t at = k * t->depth;

    soften_row (d->base + at, d->v + at, t->depth, t->scale[k], t->qmin,
                t->qmax, d->soft + at);
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

/* What Adam's step needs for all weights. */
struct rates {
  float rate, strength, beta;
};

/* Adam's step for a channel of scale SCALE along grad times ds/dv, plus
 * strength times the gradient of sum (1 - |2 h - 1|^beta), which pulls h to 0
 * or 1.  All of it is computed for every weight and chosen from, so that it is
 * vector code. */
QK_LOOP (static, step_row,
         (const struct rates *r, int64_t n, float scale, float qmin,
          float qmax, const float *restrict base, const float *restrict grad,
          float *restrict v, float *restrict m1, float *restrict m2),
         (r, n, scale, qmin, qmax, base, grad, v, m1, m2))
{
  const float rate = r->rate, strength = r->strength, beta = r->beta;

  for (int64_t j = 0; j < n; j++) {
    const float s = qk_sigmoid (v[j]), h = STRETCH * s + SHIFT;
    const float q = base[j] + clamped (h, 0.0f, 1.0f);
    const float slope = STRETCH * s * (1.0f - s);
    const float c = 2.0f * h - 1.0f, a = fabsf (c);
    /* a^(beta - 1); beta is at least 2, so that nothing is left near 0 */
    const float power
      = qk_exp ((beta - 1.0f) * qk_ln (a > 1e-30f ? a : 1e-30f));
    const float pull
      = strength * beta * 2.0f * power * (c > 0.0f ? slope : -slope);
    const float along
      = ((q > qmin) & (q < qmax)) ? grad[j] * scale * slope : 0.0f;
    const float g = ((h > 0.0f) & (h < 1.0f)) ? along - pull : 0.0f;

    m1[j] = 0.9f * m1[j] + 0.1f * g;
    m2[j] = 0.999f * m2[j] + 0.001f * g * g;
    v[j] -= rate * m1[j] / (sqrtf (m2[j]) + 1e-8f);
  }
}

static void
step (const struct adaround_task *t, const struct adaround_options *opt,
      struct descent *d, int iteration, float strength, float beta)
{
  const double b1 = 0.9, b2 = 0.999;
  const struct rates r
    = { (float) (opt->rate * sqrt (1.0 - pow (b2, iteration + 1))
                 / (1.0 - pow (b1, iteration + 1))),
        strength, beta };

#ifdef _OPENMP
#pragma omp parallel for num_threads(t->threads) schedule(static)
#endif
  for (int64_t k = 0; k < t->channels; k++) {
    const int64_t at = k * t->depth;

    step_row (&r, t->depth, t->scale[k], t->qmin, t->qmax, d->base + at,
              d->grad + at, d->v + at, d->m1 + at, d->m2 + at);
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

static float
nearest (const struct adaround_task *t, int64_t i)
{
  return clamped (qk_rne (t->w[i] * (1.0f / t->scale[i / t->depth])), t->qmin,
                  t->qmax);
}

static void
descend (const struct adaround_task *t, const struct adaround_options *opt,
         struct descent *d, int64_t rows)
{
  const int warm = (int) (opt->warm * opt->iterations);
  struct qk_rng rng;

  qk_rng_seed (&rng, t->seed, 0xada);
  for (int i = 0; i < opt->iterations; i++) {
    /* from 20 to 2 after the warm start, as the paper anneals it */
    const double done
      = i < warm ? 0.0 : (double) (i - warm) / (opt->iterations - warm);
    const float beta = (float) (2.0 + 9.0 * (1.0 + cos (done * M_PI)));

    gather (t, d, rows, &rng);
    soften (t, d);
    adaround_product (t, d->x, rows, d->soft, false, d->y);
    error_gradient (d->y, d->target, rows * t->channels, 2.0f / (float) rows,
                    t->lo, t->hi);
    weight_gradient (t, d->y, d->x, rows, d->grad);
    step (t, opt, d, i, i < warm ? 0.0f : (float) opt->strength, beta);
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
  int r;

  if (t->n < 1)
    return qk_error (-ENODATA, "no calibration samples");
  if ((r = descent_open (t, rows, &d)) < 0)
    return r;
  for (int64_t i = 0; i < d.weights; i++)
    q[i] = nearest (t, i);
  *before = error_of (t, &d, rows, q);
  descend (t, opt, &d, rows);
  for (int64_t i = 0; i < d.weights; i++)
    q[i]
      = clamped (d.base[i] + (up (qk_sigmoid (d.v[i])) >= 0.5f ? 1.0f : 0.0f),
                 t->qmin, t->qmax);
  *after = error_of (t, &d, rows, q);
  for (int64_t i = 0; i < d.weights; i++) {
    if (!(*after < *before))
      q[i] = nearest (t, i);
    changed += q[i] != nearest (t, i);
  }
  if (!(*after < *before))
    *after = *before;
  qk_free (d.memory);
  return changed;
}
