/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moments.c: running means of gradients, and steps along them. */
#include "config.h"

#include <math.h>

#include <qatkit/cpu.h>
#include <qatkit/tensor.h>

#include "moments/moments.h"

int
moments_create (const struct qk_config *cfg, const char *name, void **self)
{
  struct moments *a = qk_alloc (sizeof *a);

  if (a == NULL)
    return qk_oom ("%s", name);
  a->beta1 = qk_config_float (cfg, "beta1");
  a->beta2 = qk_config_float (cfg, "beta2");
  a->eps = (float) qk_config_float (cfg, "eps");
  a->weight_decay = (float) qk_config_float (cfg, "weight_decay");
  *self = a;
  return 0;
}

void
moments_destroy (void *self)
{
  qk_free (self);
}

int
moments_slots (void *self)
{
  (void) self;
  return 2;
}

struct moments_step
moments_factors (const struct moments *a, const struct qk_optimizer_step *st)
{
  const double t = (double) st->t + 1.0;
  const struct moments_step f = {
    .keep = 1.0f,
    .beta1 = (float) a->beta1,
    .beta2 = (float) a->beta2,
    .take1 = (float) (1.0 - a->beta1),
    .take2 = (float) (1.0 - a->beta2),
    .eps = a->eps,
    .neg_step = (float) (-((double) st->lr / (1.0 - pow (a->beta1, t)))),
    .root_bias = (float) sqrt (1.0 - pow (a->beta2, t)),
  };

  return f;
}

QK_LOOP (, moments_move,
         (const struct moments_step *f, float *restrict w,
          const float *restrict g, float *restrict m, float *restrict v,
          size_t n),
         (f, w, g, m, v, n))
{
  const struct moments_step k = *f;

  for (size_t i = 0; i < n; i++) {
    const float d = fmaf (k.coupled, w[i], g[i]);
    const float mi = fmaf (k.take1, d, m[i] * k.beta1);
    const float vi = fmaf (k.take2 * d, d, v[i] * k.beta2);

    m[i] = mi;
    v[i] = vi;
    w[i]
      = w[i] * k.keep + k.neg_step * mi / (sqrtf (vi) / k.root_bias + k.eps);
  }
}

QK_LOOP (, moments_update,
         (const struct moments_step *f, const float *restrict g,
          float *restrict m, float *restrict v, size_t n),
         (f, g, m, v, n))
{
  const struct moments_step k = *f;

  for (size_t i = 0; i < n; i++) {
    m[i] = fmaf (k.take1, g[i], m[i] * k.beta1);
    v[i] = fmaf (k.take2 * g[i], g[i], v[i] * k.beta2);
  }
}
