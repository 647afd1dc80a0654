/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* context: dilated convolutions that see further and further at full
 * resolution, for a label of each pixel; dilations 1 1 2 4 8 1.
 * Yu & Koltun 2016, https://arxiv.org/abs/1511.07122 */
#include "config.h"

#include <stdio.h>

#include "imagespec/imagespec.h"

static const int dilations[] = { 1, 1, 2, 4, 8, 1 };
#define CONVOLUTIONS ((int) (sizeof dilations / sizeof dilations[0]))

#define NAME_SIZE 32

static int
conv_bn_relu (struct qk_graph *g, int i, int v, int channels)
{
  const int d = dilations[i - 1];
  char name[NAME_SIZE];

  snprintf (name, sizeof name, "conv%d", i);
  v = qk_graph_node (g, name, "conv2d", &v, 1,
                     "out=%d kernel=3 padding=%d dilation=%d bias=no",
                     channels, d, d);
  snprintf (name, sizeof name, "bn%d", i);
  v = qk_graph_node (g, name, "batchnorm2d", &v, 1, "%s", "");
  snprintf (name, sizeof name, "relu%d", i);
  return qk_graph_node (g, name, "relu", &v, 1, "%s", "");
}

static int
context_build (const struct qk_config *cfg, const struct qk_model_request *req,
               struct qk_graph *g)
{
  const int channels = (int) qk_config_int (cfg, "channels");
  struct image_request image;
  const int r = image_request_read ("context", req,
                                    qk_config_int (cfg, "classes"), &image);
  int v;

  if (r < 0)
    return r;
  v = qk_graph_input (g, image.image);
  for (int i = 1; i <= CONVOLUTIONS; i++)
    v = conv_bn_relu (g, i, v, channels);
  v = qk_graph_node (g, "classifier", "conv2d", &v, 1, "out=%d kernel=1",
                     image.classes);
  return qk_graph_output (g, "logits", v);
}

static const struct qk_option options[]
  = { { .name = "channels",
        .type = QK_OPT_INT,
        .def = "16",
        .min = 1,
        .max = 1024,
        .help = "Channels of all convolutions but the last" },
      { .name = "classes",
        .type = QK_OPT_INT,
        .def = "0",
        .min = 0,
        .max = 1000000,
        .help = "Number of classes; 0 = the data's" },
      { .name = NULL } };

static const struct qk_model_class context = {
  .cls = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "context",
                   "Dilated convolutions at full resolution, for dense labels",
                   options),
  .build = context_build,
};

QK_PLUGIN ("context", PACKAGE_VERSION, "LGPL-2.1-or-later", &context.cls);
