/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* elu: y = x for x > 0, alpha (e^x - 1) else; Clevert et al. 2015. */
#include "config.h"

#include "unary/unary.h"

static inline float
elu_value (float x, const float *p)
{
  const float below = p[0] * qk_expm1 (x);

  return x > 0.0f ? x : below;
}

static inline float
elu_slope (float x, const float *p)
{
  const float below = p[0] * qk_exp (x);

  return x > 0.0f ? 1.0f : below;
}

UNARY_FUNCTION (elu);

static int
elu_create (const struct qk_config *cfg, void **self)
{
  const float p[UNARY_PARAMS] = { (float) qk_config_float (cfg, "alpha") };

  return unary_create (&elu_function, p, self);
}

static const struct qk_option options[]
  = { { .name = "alpha",
        .type = QK_OPT_FLOAT,
        .def = "1",
        .min = 0,
        .max = 1000,
        .help = "Minus the limit for very negative numbers." },
      { .name = NULL } };

static const struct qk_layer_class elu
  = UNARY_CLASS (elu, "Exponential linear unit", options);

QK_PLUGIN ("elu", PACKAGE_VERSION, "LGPL-2.1-or-later", &elu.cls);
