/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mix.c: random numbers of mixed batches, and mixing two samples. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "data/mix.h"

bool
qk_mix_wanted (const struct qk_mix_options *o)
{
  return (o->blend > 0 || o->paste > 0) && o->share > 0;
}

/* Of the gamma distribution of shape A, scale 1.  Marsaglia and Tsang, "A
 * simple method for generating gamma variables", 2000. */
static double
gamma_number (double a, struct qk_rng *rng)
{
  const double boost
    = a < 1 ? pow (1 - qk_rng_double (rng), 1 / a) : 1; /* of a + 1 */
  const double d = (a < 1 ? a + 1 : a) - 1.0 / 3.0, c = 1 / sqrt (9 * d);

  for (;;) {
    const double x = qk_rng_normal (rng);
    const double u = 1 - qk_rng_double (rng); /* not 0 */
    double v = 1 + c * x;

    if (v <= 0)
      continue;
    v = v * v * v;
    if (log (u) < 0.5 * x * x + d - d * v + d * log (v))
      return boost * d * v;
  }
}

/* Of Beta (a, a); a half where both numbers vanish. */
static double
beta_number (double a, struct qk_rng *rng)
{
  const double x = gamma_number (a, rng), y = gamma_number (a, rng);

  return x + y > 0 ? x / (x + y) : 0.5;
}

void
qk_mix_draw (const struct qk_mix_options *o, struct qk_rng *rng,
             struct qk_mix *out)
{
  memset (out, 0, sizeof *out);
  out->own = 1;
  if (!qk_mix_wanted (o) || !(qk_rng_double (rng) < o->share))
    return;
  out->mixed = true;
  out->paste = o->paste > 0 && (!(o->blend > 0) || qk_rng_below (rng, 2) == 1);
  out->own = beta_number (out->paste ? o->paste : o->blend, rng);
  out->x = qk_rng_double (rng);
  out->y = qk_rng_double (rng);
}

static int64_t
within (int64_t x, int64_t most)
{
  return x < 0 ? 0 : x > most ? most : x;
}

void
qk_mix_find_box (const struct qk_mix *m, int64_t h, int64_t w,
                 struct qk_mix_box *box)
{
  const double half = 0.5 * sqrt (1 - m->own);
  const int64_t y = (int64_t) (m->y * (double) h);
  const int64_t x = (int64_t) (m->x * (double) w);
  const int64_t dy = (int64_t) (half * (double) h);
  const int64_t dx = (int64_t) (half * (double) w);

  box->top = within (y - dy, h);
  box->bottom = within (y + dy, h);
  box->left = within (x - dx, w);
  box->right = within (x + dx, w);
}

double
qk_mix_own (const struct qk_mix *m, const struct qk_tensor_spec *spec)
{
  const int64_t h = spec->shape.dims[1], w = spec->shape.dims[2];
  struct qk_mix_box b;

  if (!m->mixed || !m->paste)
    return m->own;
  qk_mix_find_box (m, h, w, &b);
  return 1
         - (double) ((b.bottom - b.top) * (b.right - b.left))
             / (double) (h * w);
}

static void
paste (const struct qk_mix *m, const struct qk_tensor_spec *spec, float *x,
       const float *other)
{
  const int64_t h = spec->shape.dims[1], w = spec->shape.dims[2];
  const int64_t c = qk_shape_count (&spec->shape) / (h * w);
  struct qk_mix_box b;

  qk_mix_find_box (m, h, w, &b);
  for (int64_t y = b.top; y < b.bottom; y++)
    memcpy (x + (y * w + b.left) * c, other + (y * w + b.left) * c,
            (size_t) ((b.right - b.left) * c) * sizeof *x);
}

void
qk_mix_sample (const struct qk_mix *m, const struct qk_tensor_spec *spec,
               float *x, const float *other)
{
  const int64_t n = qk_shape_count (&spec->shape);
  const float own = (float) m->own, rest = (float) (1 - m->own);

  if (m->paste)
    paste (m, spec, x, other);
  else
    for (int64_t i = 0; i < n; i++)
      x[i] = x[i] * own + other[i] * rest;
}
