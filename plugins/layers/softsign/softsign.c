/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* softsign: y = x / (1 + |x|). */
#include "config.h"

#include "unary/unary.h"

static inline float
softsign_value (float x, const float *p)
{
  (void) p;
  return x / (1.0f + fabsf (x));
}

static inline float
softsign_slope (float x, const float *p)
{
  (void) p;
  return 1.0f / ((1.0f + fabsf (x)) * (1.0f + fabsf (x)));
}

UNARY_FUNCTION (softsign);

static int
softsign_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&softsign_function, NULL, self);
}

static const struct qk_layer_class softsign
  = UNARY_CLASS (softsign, "A sigmoid of slow ends: x / (1 + |x|)", NULL);

QK_PLUGIN ("softsign", PACKAGE_VERSION, "LGPL-2.1-or-later", &softsign.cls);
