/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sqrt: y = x^(1/2). */
#include "config.h"

#include "unary/unary.h"

static inline float
sqrt_value (float x, const float *p)
{
  (void) p;
  return sqrtf (x);
}

static inline float
sqrt_slope (float x, const float *p)
{
  (void) p;
  return 0.5f / sqrtf (x);
}

UNARY_FUNCTION (sqrt);

static int
sqrt_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&sqrt_function, NULL, self);
}

static const struct qk_layer_class sqrt_
  = UNARY_CLASS (sqrt, "The square root", NULL);

QK_PLUGIN ("sqrt", PACKAGE_VERSION, "LGPL-2.1-or-later", &sqrt_.cls);
