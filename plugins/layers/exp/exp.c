/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* exp: y = e^x. */
#include "config.h"

#include "unary/unary.h"

static inline float
exp_value (float x, const float *p)
{
  (void) p;
  return qk_exp (x);
}

static inline float
exp_slope (float x, const float *p)
{
  (void) p;
  return qk_exp (x);
}

UNARY_FUNCTION (exp);

static int
exp_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&exp_function, NULL, self);
}

static const struct qk_layer_class exp_
  = UNARY_CLASS (exp, "The exponential function", NULL);

QK_PLUGIN ("exp", PACKAGE_VERSION, "LGPL-2.1-or-later", &exp_.cls);
