/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* relu6: y = min (max (x, 0), 6).  x of any shape. */
#include "config.h"

#include <math.h>

#include <qatkit/layer.h>

#include "clamp/clamp.h"

static int
relu6_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return clamp_create ("relu6", 0.0f, 6.0f, self);
}

static const struct qk_layer_class relu6 = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "relu6",
                   "Rectifier limited to 0..6, as in MobileNet", NULL),
  .create = relu6_create,
  .destroy = clamp_destroy,
  .infer = clamp_infer,
  .describe = clamp_describe,
  .setup = clamp_setup,
  .forward = clamp_forward,
  .backward = clamp_backward,
  .quantized = true,
  .lower = clamp_lower,
};

QK_PLUGIN ("relu6", PACKAGE_VERSION, "LGPL-2.1-or-later", &relu6.cls);
