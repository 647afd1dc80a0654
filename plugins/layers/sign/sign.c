/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sign: y = -1, 0 or 1; its slope counts as 0. */
#include "config.h"

#include "unary/unary.h"

static inline float
sign_value (float x, const float *p)
{
  (void) p;
  return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x;
}

static inline float
sign_slope (float x, const float *p)
{
  (void) x;
  (void) p;
  return 0.0f;
}

UNARY_FUNCTION (sign);

static int
sign_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&sign_function, NULL, self);
}

static const struct qk_layer_class sign
  = UNARY_CLASS (sign, "The sign, -1, 0 or 1", NULL);

QK_PLUGIN ("sign", PACKAGE_VERSION, "LGPL-2.1-or-later", &sign.cls);
