/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adam.c: Adam (Kingma and Ba 2015), as torch.optim.Adam:
 *   d = g + weight_decay w
 *   m = beta1 m + (1 - beta1) d
 *   v = beta2 v + (1 - beta2) d d
 *   w <- w - lr / (1 - beta1^t) m / (sqrt (v) / sqrt (1 - beta2^t) + eps)
 * at step t = 1, 2, …; arrays in float32, factors computed in double. */
#include "config.h"

#include <math.h>

#include <qatkit/cpu.h>
#include <qatkit/optimizer.h>
#include <qatkit/tensor.h>

struct adam {
  double beta1, beta2;
  float eps, weight_decay;
};

static const struct qk_option adam_options[]
  = { { "lr", QK_OPT_FLOAT, "0.001", 0.0, 1e6, NULL, "Learning rate." },
      { "beta1", QK_OPT_FLOAT, "0.9", 0.0, 0.999999, NULL,
        "Part of the mean gradient that is kept at each step." },
      { "beta2", QK_OPT_FLOAT, "0.999", 0.0, 0.999999, NULL,
        "Part of the mean squared gradient that is kept at each step." },
      { "eps", QK_OPT_FLOAT, "1e-8", 1e-30, 1.0, NULL,
        "Added to the divisor, against division by 0." },
      { "weight_decay", QK_OPT_FLOAT, "0", 0.0, 1e6, NULL,
        "Part of the weight added to its gradient." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
adam_create (const struct qk_config *cfg, void **self)
{
  struct adam *a = qk_alloc (sizeof *a);

  if (a == NULL)
    return qk_oom ("adam");
  a->beta1 = qk_config_float (cfg, "beta1");
  a->beta2 = qk_config_float (cfg, "beta2");
  a->eps = (float) qk_config_float (cfg, "eps");
  a->weight_decay = (float) qk_config_float (cfg, "weight_decay");
  *self = a;
  return 0;
}

static void
adam_destroy (void *self)
{
  qk_free (self);
}

static int
adam_slots (void *self)
{
  (void) self;
  return 2;
}

/* The factors of one step. */
struct adam_factors {
  float decay, beta1, beta2, take1, take2, eps;
  float neg_step;  /* -lr / (1 - beta1^t) */
  float root_bias; /* sqrt (1 - beta2^t) */
};

QK_LOOP (static, adam_block,
         (const struct adam_factors *f, float *restrict w,
          const float *restrict g, float *restrict m, float *restrict v,
          size_t n),
         (f, w, g, m, v, n))
{
  const struct adam_factors k = *f;

  for (size_t i = 0; i < n; i++) {
    const float d = fmaf (k.decay, w[i], g[i]);
    const float mi = fmaf (k.take1, d, m[i] * k.beta1);
    const float vi = fmaf (k.take2 * d, d, v[i] * k.beta2);

    m[i] = mi;
    v[i] = vi;
    w[i] += k.neg_step * mi / (sqrtf (vi) / k.root_bias + k.eps);
  }
}

static void
adam_step (void *self, const struct qk_optimizer_step *st, float *w,
           const float *g, float *const *slot, size_t n)
{
  const struct adam *a = self;
  const double t = (double) st->t + 1.0;
  struct adam_factors f;

  f.decay = st->decay ? a->weight_decay : 0.0f;
  f.beta1 = (float) a->beta1;
  f.beta2 = (float) a->beta2;
  f.take1 = (float) (1.0 - a->beta1);
  f.take2 = (float) (1.0 - a->beta2);
  f.eps = a->eps;
  f.neg_step = (float) (-((double) st->lr / (1.0 - pow (a->beta1, t))));
  f.root_bias = (float) sqrt (1.0 - pow (a->beta2, t));
  adam_block (&f, w, g, slot[0], slot[1], n);
}

static const struct qk_optimizer_class adam = {
  .cls
  = QK_CLASS (struct qk_optimizer_class, QK_KIND_OPTIMIZER, "adam",
              "Adam, steps scaled by the gradient's moments", adam_options),
  .create = adam_create,
  .destroy = adam_destroy,
  .slots = adam_slots,
  .step = adam_step,
  .elementwise = true,
};

QK_PLUGIN ("adam", "1.0", "LGPL-2.1-or-later", &adam.cls);
