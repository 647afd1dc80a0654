/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lamb.c: LAMB, for large batches (You et al. 2020, algorithm 2): r of
 * moments.h, then for each parameter as a whole
 *   u = r + weight_decay w
 *   w <- w - lr (|w| / |u|) u
 * where |…| is the Euclidean norm, summed in double in the order of the array;
 * with |w| or |u| 0 the ratio is 1. */
#include "config.h"

#include <math.h>

#include "moments/moments.h"

static const struct qk_option lamb_options[]
  = { MOMENTS_OPTIONS ("0.001", "1e-6"),
      { "weight_decay", QK_OPT_FLOAT, "0.01", 0.0, 1e6, NULL,
        "Part of the weight added to the step before it is scaled." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
lamb_create (const struct qk_config *cfg, void **self)
{
  return moments_create (cfg, "lamb", self);
}

/* What step U is made of. */
struct lamb_terms {
  float unbias; /* 1 / (1 - beta1^t) */
  float root_bias, eps, decay;
};

static inline float
lamb_u (const struct lamb_terms *k, float w, float m, float v)
{
  return fmaf (k->decay, w,
               m * k->unbias / (sqrtf (v) / k->root_bias + k->eps));
}

/* |w| / |u| */
static double
lamb_ratio (const struct lamb_terms *k, const float *w, const float *m,
            const float *v, size_t n)
{
  double ww = 0, uu = 0;

  for (size_t i = 0; i < n; i++) {
    const double u = lamb_u (k, w[i], m[i], v[i]);

    ww += (double) w[i] * (double) w[i];
    uu += u * u;
  }
  return ww > 0 && uu > 0 ? sqrt (ww) / sqrt (uu) : 1.0;
}

static void
lamb_step (void *self, const struct qk_optimizer_step *st, float *w,
           const float *g, float *const *slot, size_t n)
{
  const struct moments *a = self;
  const struct moments_step f = moments_factors (a, st);
  const float *m = slot[0], *v = slot[1];
  const struct lamb_terms k = {
    .unbias = (float) (1.0 / (1.0 - pow (a->beta1, (double) st->t + 1.0))),
    .root_bias = f.root_bias,
    .eps = f.eps,
    .decay = st->decay ? a->weight_decay : 0.0f,
  };
  float step;

  moments_update (&f, g, slot[0], slot[1], n);
  step = (float) ((double) st->lr * lamb_ratio (&k, w, m, v, n));
  for (size_t i = 0; i < n; i++)
    w[i] = fmaf (-step, lamb_u (&k, w[i], m[i], v[i]), w[i]);
}

static const struct qk_optimizer_class lamb = {
  .cls = QK_CLASS (struct qk_optimizer_class, QK_KIND_OPTIMIZER, "lamb",
                   "Adam's steps, each as long as its parameter is large; for "
                   "large batches",
                   lamb_options),
  .create = lamb_create,
  .destroy = moments_destroy,
  .slots = moments_slots,
  .step = lamb_step,
};

QK_PLUGIN ("lamb", "1.0", "LGPL-2.1-or-later", &lamb.cls);
