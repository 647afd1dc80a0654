/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* relu: y = max (x, 0).  x of any shape. */
#include "config.h"

#include <math.h>

#include <qatkit/layer.h>

#include "clamp/clamp.h"

static int
relu_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return clamp_create ("relu", 0.0f, INFINITY, self);
}

static const struct qk_layer_class relu = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "relu",
                   "Rectifier: negative numbers become 0", NULL),
  .create = relu_create,
  .destroy = clamp_destroy,
  .infer = clamp_infer,
  .describe = clamp_describe,
  .setup = clamp_setup,
  .forward = clamp_forward,
  .backward = clamp_backward,
  .quantized = true,
  .lower = clamp_lower,
};

QK_PLUGIN ("relu", PACKAGE_VERSION, "LGPL-2.1-or-later", &relu.cls);
