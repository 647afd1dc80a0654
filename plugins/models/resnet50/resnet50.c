/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resnet50: residual network of 50 layers; see plugins/common/resnet. */
#include "config.h"

#include "resnet/resnet.h"

static const struct resnet_variant variant
  = { .name = "resnet50", .bottleneck = true, .blocks = { 3, 4, 6, 3 } };

static int
resnet50_build (const struct qk_config *cfg,
                const struct qk_model_request *req, struct qk_graph *g)
{
  return resnet_build (&variant, cfg, req, g);
}

static const struct qk_model_class resnet50 = {
  .cls = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "resnet50",
                   "ResNet-50: residual network with bottleneck blocks",
                   resnet_options),
  .build = resnet50_build,
};

QK_PLUGIN ("resnet50", PACKAGE_VERSION, "LGPL-2.1-or-later", &resnet50.cls);
