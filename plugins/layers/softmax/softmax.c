/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* softmax.c: see common/softlayer/softlayer.h. */
#include "config.h"

#include <qatkit/layer.h>
#include <qatkit/numeric.h>

#include "softlayer/softlayer.h"

static const struct qk_option options[]
  = { SOFTLAYER_OPTION, { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
softmax_create (const struct qk_config *cfg, void **self)
{
  return softlayer_create (cfg, "softmax", QK_SOFTMAX, self);
}

static const struct qk_layer_class softmax = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "softmax",
                   "Softmax along an axis, y = e^x / sum e^x", options),
  .create = softmax_create,
  .destroy = softlayer_destroy,
  .infer = softlayer_infer,
  .describe = softlayer_describe,
  .setup = softlayer_setup,
  .forward = softlayer_forward,
  .backward = softlayer_backward,
  .quantized = true,
  .lower = softlayer_lower,
  .geometry = softlayer_lower,
};

QK_PLUGIN ("softmax", "1.0", "LGPL-2.1-or-later", &softmax.cls);
