/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gelu: y = x F (x), F the normal distribution's; dx = dy (F (x) + x F'(x)).
 * Hendrycks and Gimpel 2016; approximate=tanh is their
 * F (x) = (1 + tanh (sqrt (2 / pi) (x + 0.044715 x^3))) / 2. */
#include "config.h"

#include "unary/unary.h"

#define SQRT_HALF 0.70710678f
#define SQRT_2_PI 0.79788456f       /* sqrt (2 / pi) */
#define ONE_BY_SQRT_2PI 0.39894228f /* 1 / sqrt (2 pi) */

static inline float
gelu_value (float x, const float *p)
{
  (void) p;
  return 0.5f * x * (1.0f + qk_erf (x * SQRT_HALF));
}

static inline float
gelu_slope (float x, const float *p)
{
  const float density = ONE_BY_SQRT_2PI * qk_exp (-0.5f * x * x);

  (void) p;
  return 0.5f * (1.0f + qk_erf (x * SQRT_HALF)) + x * density;
}

static inline float
gelu_tanh_value (float x, const float *p)
{
  const float u = SQRT_2_PI * (x + 0.044715f * x * x * x);

  (void) p;
  return 0.5f * x * (1.0f + qk_tanh (u));
}

static inline float
gelu_tanh_slope (float x, const float *p)
{
  const float t = qk_tanh (SQRT_2_PI * (x + 0.044715f * x * x * x));
  const float du = SQRT_2_PI * (1.0f + 0.134145f * x * x);

  (void) p;
  return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t) * (1.0f + t) * du;
}

UNARY_FUNCTION (gelu);
UNARY_FUNCTION (gelu_tanh);

static int
gelu_create (const struct qk_config *cfg, void **self)
{
  const bool tanh
    = strcmp (qk_config_string (cfg, "approximate"), "tanh") == 0;

  return unary_create (tanh ? &gelu_tanh_function : &gelu_function, NULL,
                       self);
}

static const char *const approximations[] = { "none", "tanh", NULL };

static const struct qk_option options[]
  = { { .name = "approximate",
        .type = QK_OPT_CHOICE,
        .def = "none",
        .choices = approximations,
        .help = "How the normal distribution is computed: by the error "
                "function, or approximately by tanh." },
      { .name = NULL } };

static const struct qk_layer_class gelu
  = UNARY_CLASS (gelu, "Gaussian error linear unit", options);

QK_PLUGIN ("gelu", PACKAGE_VERSION, "LGPL-2.1-or-later", &gelu.cls);
