/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tanh: y = tanh (x), dx = dy (1 - y^2). */
#include "config.h"

#include "unary/unary.h"

static inline float
tanh_value (float x, const float *p)
{
  (void) p;
  return qk_tanh (x);
}

static inline float
tanh_slope (float x, const float *p)
{
  const float y = qk_tanh (x);

  (void) p;
  return (1.0f - y) * (1.0f + y);
}

UNARY_FUNCTION (tanh);

static int
tanh_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&tanh_function, NULL, self);
}

static const struct qk_layer_class tanh_layer
  = UNARY_CLASS (tanh, "Hyperbolic tangent", NULL);

QK_PLUGIN ("tanh", PACKAGE_VERSION, "LGPL-2.1-or-later", &tanh_layer.cls);
