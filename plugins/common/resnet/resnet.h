/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resnet.h: residual networks of several depths (He et al. 2015,
 * https://arxiv.org/abs/1512.03385), parameters named as in torchvision. */
#ifndef QATKIT_COMMON_RESNET_H
#define QATKIT_COMMON_RESNET_H

#include <qatkit/model.h>

struct resnet_variant {
  const char *name; /* "resnet18", for messages */
  bool bottleneck;  /* blocks of 1x1, 3x3, 1x1 instead of 3x3, 3x3 */
  int blocks[4];    /* in layer1 .. layer4 */
};

/* The options every residual network has; ends with the NULL row. */
extern const struct qk_option resnet_options[];

/* The slot build of struct qk_model_class, for one variant. */
int resnet_build (const struct resnet_variant *variant,
                  const struct qk_config *cfg,
                  const struct qk_model_request *req, struct qk_graph *g);

#endif /* QATKIT_COMMON_RESNET_H */
