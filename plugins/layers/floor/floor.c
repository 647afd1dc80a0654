/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* floor: y = the next whole number below; its slope counts as 0. */
#include "config.h"

#include "unary/unary.h"

static inline float
floor_value (float x, const float *p)
{
  (void) p;
  return floorf (x);
}

static inline float
floor_slope (float x, const float *p)
{
  (void) x;
  (void) p;
  return 0.0f;
}

UNARY_FUNCTION (floor);

static int
floor_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return unary_create (&floor_function, NULL, self);
}

static const struct qk_layer_class floor_
  = UNARY_CLASS (floor, "The next whole number below", NULL);

QK_PLUGIN ("floor", PACKAGE_VERSION, "LGPL-2.1-or-later", &floor_.cls);
