/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* selu: y = s x for x > 0, s alpha (e^x - 1) else; Klambauer et al. 2017. */
#include "config.h"

#include "unary/unary.h"

#define SCALE 1.05070099f
#define ALPHA 1.67326324f

static inline float
selu_value (float x, const float *p)
{
  const float below = ALPHA * qk_expm1 (x);

  (void) p;
  return SCALE * (x > 0.0f ? x : below);
}

static inline float
selu_slope (float x, const float *p)
{
  const float below = ALPHA * qk_exp (x);

  (void) p;
  return SCALE * (x > 0.0f ? 1.0f : below);
}

UNARY_FUNCTION (selu);

static int
selu_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&selu_function, NULL, self);
}

static const struct qk_layer_class selu
  = UNARY_CLASS (selu, "Self-normalising exponential linear unit", NULL);

QK_PLUGIN ("selu", PACKAGE_VERSION, "LGPL-2.1-or-later", &selu.cls);
