/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rmsprop.c: RMSprop (Tieleman and Hinton 2012), as torch.optim.RMSprop:
 *   d = g + weight_decay w
 *   v = alpha v + (1 - alpha) d d
 *   a = sqrt (v) + eps, or centered, with the mean gradient
 *   e = alpha e + (1 - alpha) d:  a = sqrt (v - e e) + eps
 *   w <- w - lr d / a, or with momentum
 *   b = momentum b + d / a:  w <- w - lr b
 * in float32, as PyTorch's kernels compute it. */
#include "config.h"

#include <math.h>

#include <qatkit/cpu.h>
#include <qatkit/optimizer.h>
#include <qatkit/tensor.h>

struct rmsprop {
  float alpha, one_minus_alpha, eps, weight_decay, momentum;
  bool centered;
};

static const struct qk_option rmsprop_options[]
  = { { "lr", QK_OPT_FLOAT, "0.01", 0.0, 1e6, NULL, "Learning rate." },
      { "alpha", QK_OPT_FLOAT, "0.99", 0.0, 1.0, NULL,
        "Part of the mean squared gradient that is kept at each step." },
      { "eps", QK_OPT_FLOAT, "1e-8", 1e-30, 1.0, NULL,
        "Added to the divisor, against division by 0." },
      { "momentum", QK_OPT_FLOAT, "0", 0.0, 1.0, NULL,
        "Part of the last step's direction that is kept." },
      { "centered", QK_OPT_BOOL, "no", 0, 0, NULL,
        "Divide by the deviation from the mean gradient, not from 0." },
      { "weight_decay", QK_OPT_FLOAT, "0", 0.0, 1e6, NULL,
        "Part of the weight added to its gradient." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
rmsprop_create (const struct qk_config *cfg, void **self)
{
  struct rmsprop *s = qk_alloc (sizeof *s);
  const double alpha = qk_config_float (cfg, "alpha");

  if (s == NULL)
    return qk_oom ("rmsprop");
  s->alpha = (float) alpha;
  s->one_minus_alpha = (float) (1.0 - alpha);
  s->eps = (float) qk_config_float (cfg, "eps");
  s->momentum = (float) qk_config_float (cfg, "momentum");
  s->centered = qk_config_bool (cfg, "centered");
  s->weight_decay = (float) qk_config_float (cfg, "weight_decay");
  *self = s;
  return 0;
}

static void
rmsprop_destroy (void *self)
{
  qk_free (self);
}

/* The squares, then what the options need: direction, mean. */
static int
rmsprop_slots (void *self)
{
  const struct rmsprop *s = self;

  return 1 + (s->momentum > 0.0f) + s->centered;
}

/* d / a of element I; E NULL: not centered. */
static inline float
rmsprop_direction (const struct rmsprop *s, float d, float *v, float *e)
{
  float spread;

  *v = fmaf (s->one_minus_alpha * d, d, *v * s->alpha);
  spread = *v;
  if (e != NULL) {
    *e = fmaf (s->one_minus_alpha, d, *e * s->alpha);
    spread = fmaf (-*e, *e, spread);
  }
  return d / (sqrtf (spread) + s->eps);
}

QK_LOOP (static, rmsprop_block,
         (const struct rmsprop *s, float *restrict w, const float *restrict g,
          float *restrict v, float *restrict b, float *restrict e, size_t n,
          float lr, float decay),
         (s, w, g, v, b, e, n, lr, decay))
{
  const struct rmsprop k = *s;

  for (size_t i = 0; i < n; i++) {
    const float d = fmaf (decay, w[i], g[i]);
    float x = rmsprop_direction (&k, d, &v[i], e != NULL ? &e[i] : NULL);

    if (b != NULL)
      x = b[i] = b[i] * k.momentum + x;
    w[i] = fmaf (-lr, x, w[i]);
  }
}

static void
rmsprop_step (void *self, const struct qk_optimizer_step *st, float *w,
              const float *g, float *const *slot, size_t n)
{
  const struct rmsprop *s = self;
  const int with = s->momentum > 0.0f;

  rmsprop_block (s, w, g, slot[0], with ? slot[1] : NULL,
                 s->centered ? slot[1 + with] : NULL, n, st->lr,
                 st->decay ? s->weight_decay : 0.0f);
}

static const struct qk_optimizer_class rmsprop = {
  .cls
  = QK_CLASS (struct qk_optimizer_class, QK_KIND_OPTIMIZER, "rmsprop",
              "Steps scaled by the gradient's mean square", rmsprop_options),
  .create = rmsprop_create,
  .destroy = rmsprop_destroy,
  .slots = rmsprop_slots,
  .step = rmsprop_step,
  .elementwise = true,
};

QK_PLUGIN ("rmsprop", "1.0", "LGPL-2.1-or-later", &rmsprop.cls);
