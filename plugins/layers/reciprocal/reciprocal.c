/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reciprocal: y = 1 / x. */
#include "config.h"

#include "unary/unary.h"

static inline float
reciprocal_value (float x, const float *p)
{
  (void) p;
  return 1.0f / x;
}

static inline float
reciprocal_slope (float x, const float *p)
{
  (void) p;
  return -1.0f / (x * x);
}

UNARY_FUNCTION (reciprocal);

static int
reciprocal_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&reciprocal_function, NULL, self);
}

static const struct qk_layer_class reciprocal
  = UNARY_CLASS (reciprocal, "One by the number", NULL);

QK_PLUGIN ("reciprocal", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &reciprocal.cls);
