/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rsqrt: y = x^(-1/2). */
#include "config.h"

#include "unary/unary.h"

static inline float
rsqrt_value (float x, const float *p)
{
  (void) p;
  return 1.0f / sqrtf (x);
}

static inline float
rsqrt_slope (float x, const float *p)
{
  (void) p;
  return -0.5f / (x * sqrtf (x));
}

UNARY_FUNCTION (rsqrt);

static int
rsqrt_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&rsqrt_function, NULL, self);
}

static const struct qk_layer_class rsqrt
  = UNARY_CLASS (rsqrt, "One by the square root", NULL);

QK_PLUGIN ("rsqrt", PACKAGE_VERSION, "LGPL-2.1-or-later", &rsqrt.cls);
