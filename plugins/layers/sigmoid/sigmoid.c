/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sigmoid: y = 1 / (1 + e^-x), dx = dy y (1 - y). */
#include "config.h"

#include "unary/unary.h"

static inline float
sigmoid_value (float x, const float *p)
{
  (void) p;
  return qk_sigmoid (x);
}

static inline float
sigmoid_slope (float x, const float *p)
{
  (void) p;
  return qk_sigmoid (x) * qk_sigmoid (-x);
}

UNARY_FUNCTION (sigmoid);

static int
sigmoid_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&sigmoid_function, NULL, self);
}

static const struct qk_layer_class sigmoid
  = UNARY_CLASS (sigmoid, "Logistic function, 1 / (1 + exp (-x))", NULL);

QK_PLUGIN ("sigmoid", PACKAGE_VERSION, "LGPL-2.1-or-later", &sigmoid.cls);
