/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* erf: y = the error function of x. */
#include "config.h"

#include "unary/unary.h"

static inline float
erf_value (float x, const float *p)
{
  (void) p;
  return qk_erf (x);
}

static inline float
erf_slope (float x, const float *p)
{
  (void) p;
  return 1.12837917f * qk_exp (-x * x);
}

UNARY_FUNCTION (erf);

static int
erf_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&erf_function, NULL, self);
}

static const struct qk_layer_class erf_
  = UNARY_CLASS (erf, "The error function", NULL);

QK_PLUGIN ("erf", PACKAGE_VERSION, "LGPL-2.1-or-later", &erf_.cls);
