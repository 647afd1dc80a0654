/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* log: y = ln x. */
#include "config.h"

#include "unary/unary.h"

static inline float
log_value (float x, const float *p)
{
  (void) p;
  return qk_ln (x);
}

static inline float
log_slope (float x, const float *p)
{
  (void) p;
  return 1.0f / x;
}

UNARY_FUNCTION (log);

static int
log_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&log_function, NULL, self);
}

static const struct qk_layer_class log_
  = UNARY_CLASS (log, "The natural logarithm", NULL);

QK_PLUGIN ("log", PACKAGE_VERSION, "LGPL-2.1-or-later", &log_.cls);
