/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* square: y = x^2. */
#include "config.h"

#include "unary/unary.h"

static inline float
square_value (float x, const float *p)
{
  (void) p;
  return x * x;
}

static inline float
square_slope (float x, const float *p)
{
  (void) p;
  return 2.0f * x;
}

UNARY_FUNCTION (square);

static int
square_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&square_function, NULL, self);
}

static const struct qk_layer_class square
  = UNARY_CLASS (square, "The number times itself", NULL);

QK_PLUGIN ("square", PACKAGE_VERSION, "LGPL-2.1-or-later", &square.cls);
