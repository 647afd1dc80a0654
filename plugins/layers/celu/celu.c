/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* celu: y = x for x > 0, alpha (e^(x / alpha) - 1) else; Barron 2017. */
#include "config.h"

#include "unary/unary.h"

static inline float
celu_value (float x, const float *p)
{
  const float below = p[0] * qk_expm1 (x / p[0]);

  return x > 0.0f ? x : below;
}

static inline float
celu_slope (float x, const float *p)
{
  const float below = qk_exp (x / p[0]);

  return x > 0.0f ? 1.0f : below;
}

UNARY_FUNCTION (celu);

static int
celu_create (const struct qk_config *cfg, void **self)
{
  const float p[UNARY_PARAMS] = { (float) qk_config_float (cfg, "alpha") };

  return unary_create (&celu_function, p, self);
}

static const struct qk_option options[]
  = { { .name = "alpha",
        .type = QK_OPT_FLOAT,
        .def = "1",
        .min = 1e-3,
        .max = 1000,
        .help = "Minus the limit for very negative numbers." },
      { .name = NULL } };

static const struct qk_layer_class celu
  = UNARY_CLASS (celu, "Exponential linear unit with a steady slope", options);

QK_PLUGIN ("celu", PACKAGE_VERSION, "LGPL-2.1-or-later", &celu.cls);
