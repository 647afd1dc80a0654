/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* leaky_relu: y = x for x > 0, negative_slope x else. */
#include "config.h"

#include "unary/unary.h"

static inline float
leaky_relu_value (float x, const float *p)
{
  return x > 0.0f ? x : x * p[0];
}

static inline float
leaky_relu_slope (float x, const float *p)
{
  return x > 0.0f ? 1.0f : p[0];
}

UNARY_FUNCTION (leaky_relu);

static int
leaky_relu_create (const struct qk_config *cfg, void **self)
{
  const float p[UNARY_PARAMS]
    = { (float) qk_config_float (cfg, "negative_slope") };

  return unary_create (&leaky_relu_function, p, self);
}

static const struct qk_option options[]
  = { { .name = "negative_slope",
        .type = QK_OPT_FLOAT,
        .def = "0.01",
        .min = -1000,
        .max = 1000,
        .help = "Factor of negative numbers." },
      { .name = NULL } };

static const struct qk_layer_class leaky_relu = UNARY_CLASS (
  leaky_relu, "Rectifier with a slope for negative numbers", options);

QK_PLUGIN ("leaky_relu", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &leaky_relu.cls);
