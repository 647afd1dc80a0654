/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* round: y = the nearest whole number, the even one of two; its slope counts
 * as 0. */
#include "config.h"

#include "unary/unary.h"

static inline float
round_value (float x, const float *p)
{
  (void) p;
  return rintf (x);
}

static inline float
round_slope (float x, const float *p)
{
  (void) x;
  (void) p;
  return 0.0f;
}

UNARY_FUNCTION (round);

static int
round_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&round_function, NULL, self);
}

static const struct qk_layer_class round_
  = UNARY_CLASS (round, "The nearest whole number", NULL);

QK_PLUGIN ("round", PACKAGE_VERSION, "LGPL-2.1-or-later", &round_.cls);
