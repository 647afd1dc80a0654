/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sin: y = sin x. */
#include "config.h"

#include "unary/unary.h"

static inline float
sin_value (float x, const float *p)
{
  (void) p;
  return qk_sin (x);
}

static inline float
sin_slope (float x, const float *p)
{
  (void) p;
  return qk_cos (x);
}

UNARY_FUNCTION (sin);

static int
sin_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&sin_function, NULL, self);
}

static const struct qk_layer_class sin_ = UNARY_CLASS (sin, "The sine", NULL);

QK_PLUGIN ("sin", PACKAGE_VERSION, "LGPL-2.1-or-later", &sin_.cls);
