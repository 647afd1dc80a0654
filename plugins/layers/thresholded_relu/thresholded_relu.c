/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* thresholded_relu: y = x for x > alpha, 0 else. */
#include "config.h"

#include "unary/unary.h"

static inline float
thresholded_relu_value (float x, const float *p)
{
  return x > p[0] ? x : 0.0f;
}

static inline float
thresholded_relu_slope (float x, const float *p)
{
  return x > p[0] ? 1.0f : 0.0f;
}

UNARY_FUNCTION (thresholded_relu);

static int
thresholded_relu_create (const struct qk_config *cfg, void **self)
{
  const float p[UNARY_PARAMS] = { (float) qk_config_float (cfg, "alpha") };

  return unary_create (&thresholded_relu_function, p, self);
}

static const struct qk_option options[]
  = { { .name = "alpha",
        .type = QK_OPT_FLOAT,
        .def = "1",
        .min = -1000,
        .max = 1000,
        .help = "Numbers up to this one give 0." },
      { .name = NULL } };

static const struct qk_layer_class thresholded_relu = UNARY_CLASS (
  thresholded_relu, "Rectifier that begins at a threshold", options);

QK_PLUGIN ("thresholded_relu", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &thresholded_relu.cls);
