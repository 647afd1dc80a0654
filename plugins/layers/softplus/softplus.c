/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* softplus: y = ln (1 + e^(beta x)) / beta, and x where beta x is above
 * threshold; Dugas et al. 2001. */
#include "config.h"

#include "unary/unary.h"

static inline float
softplus_value (float x, const float *p)
{
  const float t = x * p[0];

  return t > p[1] ? x : qk_softplus (t) / p[0];
}

static inline float
softplus_slope (float x, const float *p)
{
  const float t = x * p[0], y = qk_sigmoid (t);

  return t > p[1] ? 1.0f : y;
}

UNARY_FUNCTION (softplus);

static int
softplus_create (const struct qk_config *cfg, void **self)
{
  const float p[UNARY_PARAMS] = { (float) qk_config_float (cfg, "beta"),
                                  (float) qk_config_float (cfg, "threshold") };

  return unary_create (&softplus_function, p, self);
}

static const struct qk_option options[]
  = { { .name = "beta",
        .type = QK_OPT_FLOAT,
        .def = "1",
        .min = 1e-3,
        .max = 1000,
        .help = "Factor in the exponent." },
      { .name = "threshold",
        .type = QK_OPT_FLOAT,
        .def = "20",
        .min = 0,
        .max = 80,
        .help = "From where on it is a straight line." },
      { .name = NULL } };

static const struct qk_layer_class softplus
  = UNARY_CLASS (softplus, "A smooth rectifier: ln (1 + e^x)", options);

QK_PLUGIN ("softplus", PACKAGE_VERSION, "LGPL-2.1-or-later", &softplus.cls);
