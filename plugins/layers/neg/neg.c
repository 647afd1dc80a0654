/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* neg: y = -x. */
#include "config.h"

#include "unary/unary.h"

static inline float
neg_value (float x, const float *p)
{
  (void) p;
  return -x;
}

static inline float
neg_slope (float x, const float *p)
{
  (void) x;
  (void) p;
  return -1.0f;
}

UNARY_FUNCTION (neg);

static int
neg_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&neg_function, NULL, self);
}

static const struct qk_layer_class neg
  = UNARY_CLASS (neg, "The negative number", NULL);

QK_PLUGIN ("neg", PACKAGE_VERSION, "LGPL-2.1-or-later", &neg.cls);
