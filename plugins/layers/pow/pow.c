/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pow: y = x^exponent; negative numbers have powers with whole exponents
 * only. */
#include "config.h"

#include "unary/unary.h"

static inline float
pow_value (float x, const float *p)
{
  return qk_pow (x, p[0]);
}

static inline float
pow_slope (float x, const float *p)
{
  return p[0] == 0.0f ? 0.0f : p[0] * qk_pow (x, p[0] - 1.0f);
}

UNARY_FUNCTION (pow);

static int
pow_create (const struct qk_config *cfg, void **self)
{
  const float p[UNARY_PARAMS] = { (float) qk_config_float (cfg, "exponent") };

  return unary_create (&pow_function, p, self);
}

static const struct qk_option options[] = { { .name = "exponent",
                                              .type = QK_OPT_FLOAT,
                                              .def = NULL,
                                              .min = -1000,
                                              .max = 1000,
                                              .help = "The exponent." },
                                            { .name = NULL } };

static const struct qk_layer_class pow_
  = UNARY_CLASS (pow, "A power of the number", options);

QK_PLUGIN ("pow", PACKAGE_VERSION, "LGPL-2.1-or-later", &pow_.cls);
