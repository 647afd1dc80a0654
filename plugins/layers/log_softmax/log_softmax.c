/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* log_softmax.c: see common/softlayer/softlayer.h. */
#include "config.h"

#include <qatkit/layer.h>
#include <qatkit/numeric.h>

#include "softlayer/softlayer.h"

static const struct qk_option options[]
  = { SOFTLAYER_OPTION, { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
log_softmax_create (const struct qk_config *cfg, void **self)
{
  return softlayer_create (cfg, "log_softmax", QK_LOG_SOFTMAX, self);
}

static const struct qk_layer_class log_softmax = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "log_softmax",
                   "Logarithm of softmax along an axis", options),
  .create = log_softmax_create,
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

QK_PLUGIN ("log_softmax", "1.0", "LGPL-2.1-or-later", &log_softmax.cls);
