/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* silu: y = x s, s = 1 / (1 + e^-x); dx = dy s (1 + x (1 - s)); also called
 * swish. */
#include "config.h"

#include "unary/unary.h"

static inline float
silu_value (float x, const float *p)
{
  (void) p;
  return x * qk_sigmoid (x);
}

static inline float
silu_slope (float x, const float *p)
{
  (void) p;
  return qk_sigmoid (x) * (1.0f + x * qk_sigmoid (-x));
}

UNARY_FUNCTION (silu);

static int
silu_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&silu_function, NULL, self);
}

static const struct qk_layer_class silu
  = UNARY_CLASS (silu, "SiLU, x times the sigmoid of x", NULL);

QK_PLUGIN ("silu", PACKAGE_VERSION, "LGPL-2.1-or-later", &silu.cls);
