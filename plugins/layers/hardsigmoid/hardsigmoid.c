/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hardsigmoid: y = min (max (x + 3, 0), 6) / 6 or, with options,
 * min (max (alpha x + beta, 0), 1). */
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

static inline float
hardsigmoid_line_value (float x, const float *p)
{
  const float y = p[0] * x + p[1];

  return y < 0.0f ? 0.0f : y > 1.0f ? 1.0f : y;
}

static inline float
hardsigmoid_line_slope (float x, const float *p)
{
  const float y = p[0] * x + p[1];

  return y > 0.0f && y < 1.0f ? p[0] : 0.0f;
}

UNARY_FUNCTION (hardsigmoid);
UNARY_FUNCTION (hardsigmoid_line);

static int
hardsigmoid_create (const struct qk_config *cfg, void **self)
{
  const float p[UNARY_PARAMS] = { (float) qk_config_float (cfg, "alpha"),
                                  (float) qk_config_float (cfg, "beta") };

  if (qk_config_given (cfg, "alpha") || qk_config_given (cfg, "beta"))
    return unary_create (&hardsigmoid_line_function, p, self);
  return unary_create (&hardsigmoid_function, NULL, self);
}

static const struct qk_option options[]
  = { { .name = "alpha",
        .type = QK_OPT_FLOAT,
        .def = "0.166666667",
        .min = -1000,
        .max = 1000,
        .help = "Slope of the line." },
      { .name = "beta",
        .type = QK_OPT_FLOAT,
        .def = "0.5",
        .min = -1000,
        .max = 1000,
        .help = "What the line gives for 0." },
      { .name = NULL } };

static const struct qk_layer_class hardsigmoid = UNARY_CLASS (
  hardsigmoid, "Hard sigmoid: a straight line from 0 to 1", options);

QK_PLUGIN ("hardsigmoid", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &hardsigmoid.cls);
