/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* abs: y = |x|; dx = dy sign (x). */
#include "config.h"

#include "unary/unary.h"

static inline float
abs_value (float x, const float *p)
{
  (void) p;
  return fabsf (x);
}

static inline float
abs_slope (float x, const float *p)
{
  (void) p;
  return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f;
}

UNARY_FUNCTION (abs);

static int
abs_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&abs_function, NULL, self);
}

static const struct qk_layer_class abs_
  = UNARY_CLASS (abs, "The absolute value", NULL);

QK_PLUGIN ("abs", PACKAGE_VERSION, "LGPL-2.1-or-later", &abs_.cls);
