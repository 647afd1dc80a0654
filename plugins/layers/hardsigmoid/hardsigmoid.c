/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hardsigmoid: y = min (max (x + 3, 0), 6) / 6. */
#include "config.h"

#include "unary/unary.h"

static inline float
hardsigmoid_value (float x, const float *p)
{
  const float c = x + 3.0f < 0.0f ? 0.0f : x + 3.0f > 6.0f ? 6.0f : x + 3.0f;

  (void) p;
  return c / 6.0f;
}

static inline float
hardsigmoid_slope (float x, const float *p)
{
  (void) p;
  return x > -3.0f && x < 3.0f ? 1.0f / 6.0f : 0.0f;
}

UNARY_FUNCTION (hardsigmoid);

static int
hardsigmoid_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&hardsigmoid_function, NULL, self);
}

static const struct qk_layer_class hardsigmoid = UNARY_CLASS (
  hardsigmoid, "Hard sigmoid: a straight line from 0 to 1", NULL);

QK_PLUGIN ("hardsigmoid", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &hardsigmoid.cls);
