/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resnet18: residual network of 18 layers; see plugins/common/resnet. */
#include "config.h"

#include "resnet/resnet.h"

static const struct resnet_variant variant
  = { .name = "resnet18", .bottleneck = false, .blocks = { 2, 2, 2, 2 } };

static int
resnet18_build (const struct qk_config *cfg,
                const struct qk_model_request *req, struct qk_graph *g)
{
  return resnet_build (&variant, cfg, req, g);
}

static const struct qk_model_class resnet18 = {
  .cls
  = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "resnet18",
              "ResNet-18: residual network with basic blocks", resnet_options),
  .build = resnet18_build,
};

QK_PLUGIN ("resnet18", PACKAGE_VERSION, "LGPL-2.1-or-later", &resnet18.cls);
