/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ceil: y = the next whole number above; its slope counts as 0. */
#include "config.h"

#include "unary/unary.h"

static inline float
ceil_value (float x, const float *p)
{
  (void) p;
  return ceilf (x);
}

static inline float
ceil_slope (float x, const float *p)
{
  (void) x;
  (void) p;
  return 0.0f;
}

UNARY_FUNCTION (ceil);

static int
ceil_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&ceil_function, NULL, self);
}

static const struct qk_layer_class ceil_
  = UNARY_CLASS (ceil, "The next whole number above", NULL);

QK_PLUGIN ("ceil", PACKAGE_VERSION, "LGPL-2.1-or-later", &ceil_.cls);
