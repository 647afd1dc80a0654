/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hardswish: y = x min (max (x + 3, 0), 6) / 6, Howard et al. 2019. */
#include "config.h"

#include "unary/unary.h"

static inline float
hardswish_value (float x, const float *p)
{
  const float c = x + 3.0f < 0.0f ? 0.0f : x + 3.0f > 6.0f ? 6.0f : x + 3.0f;

  (void) p;
  return x * c / 6.0f;
}

static inline float
hardswish_slope (float x, const float *p)
{
  (void) p;
  return x < -3.0f ? 0.0f : x > 3.0f ? 1.0f : x / 3.0f + 0.5f;
}

UNARY_FUNCTION (hardswish);

static int
hardswish_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&hardswish_function, NULL, self);
}

static const struct qk_layer_class hardswish
  = UNARY_CLASS (hardswish, "Hard swish: x times the hard sigmoid of x", NULL);

QK_PLUGIN ("hardswish", PACKAGE_VERSION, "LGPL-2.1-or-later", &hardswish.cls);
