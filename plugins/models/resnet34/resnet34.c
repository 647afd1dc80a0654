/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resnet34: residual network of 34 layers; see plugins/common/resnet. */
#include "config.h"

#include "resnet/resnet.h"

static const struct resnet_variant variant
  = { .name = "resnet34", .bottleneck = false, .blocks = { 3, 4, 6, 3 } };

static int
resnet34_build (const struct qk_config *cfg,
                const struct qk_model_request *req, struct qk_graph *g)
{
  return resnet_build (&variant, cfg, req, g);
}

static const struct qk_model_class resnet34 = {
  .cls
  = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "resnet34",
              "ResNet-34: residual network with basic blocks", resnet_options),
  .build = resnet34_build,
};

QK_PLUGIN ("resnet34", PACKAGE_VERSION, "LGPL-2.1-or-later", &resnet34.cls);
