/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mish: y = x tanh (ln (1 + e^x)); Misra 2019. */
#include "config.h"

#include "unary/unary.h"

/* tanh (ln (1 + e^x)) = u / (u + 2) with u = e^x (e^x + 2), which is beyond
 * what floats tell from 1 long before x = 20. */
static inline float
mish_term (float x)
{
  const float e = qk_exp (x < 20.0f ? x : 20.0f);

  return e * (e + 2.0f);
}

static inline float
mish_value (float x, const float *p)
{
  const float u = mish_term (x);

  (void) p;
  return x * (u / (u + 2.0f));
}

static inline float
mish_slope (float x, const float *p)
{
  const float u = mish_term (x), t = u / (u + 2.0f);
  const float rest = 2.0f / (u + 2.0f); /* 1 - t */

  (void) p;
  return t + x * rest * (1.0f + t) * qk_sigmoid (x);
}

UNARY_FUNCTION (mish);

static int
mish_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&mish_function, NULL, self);
}

static const struct qk_layer_class mish
  = UNARY_CLASS (mish, "Smooth, not monotonous: x tanh (softplus (x))", NULL);

QK_PLUGIN ("mish", PACKAGE_VERSION, "LGPL-2.1-or-later", &mish.cls);
