/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* affine: y = scale x + offset. */
#include "config.h"

#include "unary/unary.h"

static inline float
affine_value (float x, const float *p)
{
  return p[0] * x + p[1];
}

static inline float
affine_slope (float x, const float *p)
{
  (void) x;
  return p[0];
}

UNARY_FUNCTION (affine);

static int
affine_create (const struct qk_config *cfg, void **self)
{
  const float p[UNARY_PARAMS] = { (float) qk_config_float (cfg, "scale"),
                                  (float) qk_config_float (cfg, "offset") };

  return unary_create (&affine_function, p, self);
}

static const struct qk_option options[]
  = { { .name = "scale",
        .type = QK_OPT_FLOAT,
        .def = "1",
        .min = -1e30,
        .max = 1e30,
        .help = "Factor of the numbers." },
      { .name = "offset",
        .type = QK_OPT_FLOAT,
        .def = "0",
        .min = -1e30,
        .max = 1e30,
        .help = "What is added then." },
      { .name = NULL } };

static const struct qk_layer_class affine
  = UNARY_CLASS (affine, "A factor and a summand for all numbers", options);

QK_PLUGIN ("affine", PACKAGE_VERSION, "LGPL-2.1-or-later", &affine.cls);
