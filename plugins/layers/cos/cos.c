/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cos: y = cos x. */
#include "config.h"

#include "unary/unary.h"

static inline float
cos_value (float x, const float *p)
{
  (void) p;
  return qk_cos (x);
}

static inline float
cos_slope (float x, const float *p)
{
  (void) p;
  return -qk_sin (x);
}

UNARY_FUNCTION (cos);

static int
cos_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&cos_function, NULL, self);
}

static const struct qk_layer_class cos_
  = UNARY_CLASS (cos, "The cosine", NULL);

QK_PLUGIN ("cos", PACKAGE_VERSION, "LGPL-2.1-or-later", &cos_.cls);
