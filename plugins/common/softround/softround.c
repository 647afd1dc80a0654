/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* softround.c: rounding of weights as a variable. */
#include "config.h"

#include <math.h>

#include <qatkit/elementary.h>
#include <qatkit/numeric.h>

#include "multiversion.h"
#include "softround/softround.h"

/* The stretched sigmoid h (v) = clip (1.2 sigmoid (v) - 0.1, 0, 1). */
#define STRETCH 1.2f
#define SHIFT (-0.1f)

static inline float
clamped (float y, float lo, float hi)
{
  y = y > lo ? y : lo;
  return y < hi ? y : hi;
}

static inline float
up (float sigma)
{
  return clamped (STRETCH * sigma + SHIFT, 0.0f, 1.0f);
}

void
softround_start (const float *w, int64_t n, const struct softround_grid *g,
                 float *base, float *v)
{
  /* h (v) is the fraction that rounding down leaves */
  for (int64_t j = 0; j < n; j++) {
    const float u = w[j] / g->scale;
    const float rest = u - floorf (u);

    base[j] = floorf (u);
    v[j] = -logf (STRETCH / (rest - SHIFT) - 1.0f);
  }
}

QK_LOOP (, softround_weights,
         (const float *restrict base, const float *restrict v, int64_t n,
          const struct softround_grid *g, float *restrict soft),
         (base, v, n, g, soft))
{
  const float scale = g->scale, qmin = g->qmin, qmax = g->qmax;

  for (int64_t j = 0; j < n; j++)
    soft[j] = scale * clamped (base[j] + up (qk_sigmoid (v[j])), qmin, qmax);
}

struct softround_step
softround_schedule (int64_t step, int64_t steps, double warm, double rate,
                    double strength)
{
  const int64_t first = (int64_t) (warm * (double) steps);
  const double done
    = step < first ? 0.0 : (double) (step - first) / (double) (steps - first);
  const double t = (double) step + 1.0;

  return (struct softround_step){
    .rate
    = (float) (rate * sqrt (1.0 - pow (0.999, t)) / (1.0 - pow (0.9, t))),
    .strength = step < first ? 0.0f : (float) strength,
    .beta = (float) (2.0 + 9.0 * (1.0 + cos (done * M_PI))),
  };
}

/* All of it is computed for every weight and chosen from, so that it is vector
 * code. */
QK_LOOP (, softround_move,
         (const struct softround_step *step, int64_t n,
          const struct softround_grid *g, const float *restrict base,
          const float *restrict grad, float *restrict v, float *restrict m1,
          float *restrict m2),
         (step, n, g, base, grad, v, m1, m2))
{
  const float rate = step->rate, strength = step->strength, beta = step->beta;
  const float scale = g->scale, qmin = g->qmin, qmax = g->qmax;

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
    const float d = ((h > 0.0f) & (h < 1.0f)) ? along - pull : 0.0f;

    m1[j] = 0.9f * m1[j] + 0.1f * d;
    m2[j] = 0.999f * m2[j] + 0.001f * d * d;
    v[j] -= rate * m1[j] / (sqrtf (m2[j]) + 1e-8f);
  }
}

void
softround_finish (const float *base, const float *v, int64_t n,
                  const struct softround_grid *g, float *q)
{
  for (int64_t j = 0; j < n; j++)
    q[j] = clamped (base[j] + (up (qk_sigmoid (v[j])) >= 0.5f ? 1.0f : 0.0f),
                    g->qmin, g->qmax);
}

void
softround_nearest (const float *w, int64_t n, const struct softround_grid *g,
                   float *q)
{
  const float inv = 1.0f / g->scale;

  for (int64_t j = 0; j < n; j++)
    q[j] = clamped (qk_rne (w[j] * inv), g->qmin, g->qmax);
}
