/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cnn: a plain small network, convolution, batch-norm, activation, over and over;
 * every second convolution halves the image and doubles the channels. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "imagespec/imagespec.h"

#define NAME_SIZE 32
#define MAX_CHANNELS 4096

/* conv<i>, bn<i>, act<i> (relu<i> if it is one) */
static int
conv_bn_act (struct qk_graph *g, int i, int in, int channels, int stride,
             const char *activation)
{
  char name[NAME_SIZE];
  int v;

  snprintf (name, sizeof name, "conv%d", i);
  v = qk_graph_node (g, name, "conv2d", &in, 1,
                     "out=%d kernel=3 stride=%d padding=1 bias=no", channels,
                     stride);
  snprintf (name, sizeof name, "bn%d", i);
  v = qk_graph_node (g, name, "batchnorm2d", &v, 1, "%s", "");
  snprintf (name, sizeof name, "%s%d",
            strcmp (activation, "relu") == 0 ? "relu" : "act", i);
  return qk_graph_node (g, name, activation, &v, 1, "%s", "");
}

/* Squeeze and excitation (Hu et al. 2018): channels weighted by what their
 * means say; se<i>.pool, .fc1, .relu, .fc2, .gate, .mul. */
static int
squeeze_excite (struct qk_graph *g, int i, int in, int channels)
{
  const int narrow = channels < 8 ? 1 : channels / 4;
  char name[NAME_SIZE];
  int both[2] = { in, in };

  snprintf (name, sizeof name, "se%d.pool", i);
  both[1] = qk_graph_node (g, name, "global_avgpool", &in, 1, "%s", "");
  snprintf (name, sizeof name, "se%d.fc1", i);
  both[1]
    = qk_graph_node (g, name, "linear", &both[1], 1, "out=%d init_std=%.9g",
                     narrow, 1.0 / sqrt (channels));
  snprintf (name, sizeof name, "se%d.relu", i);
  both[1] = qk_graph_node (g, name, "relu", &both[1], 1, "%s", "");
  snprintf (name, sizeof name, "se%d.fc2", i);
  both[1]
    = qk_graph_node (g, name, "linear", &both[1], 1, "out=%d init_std=%.9g",
                     channels, 1.0 / sqrt (narrow));
  snprintf (name, sizeof name, "se%d.gate", i);
  both[1] = qk_graph_node (g, name, "hardsigmoid", &both[1], 1, "%s", "");
  snprintf (name, sizeof name, "se%d.mul", i);
  return qk_graph_node (g, name, "mul", both, 2, "%s", "");
}

static int
build (const struct qk_config *cfg, const struct image_request *image,
       struct qk_graph *g)
{
  const int depth = (int) qk_config_int (cfg, "depth");
  const char *activation = qk_config_string (cfg, "activation");
  const bool attend = qk_config_bool (cfg, "squeeze_excitation");
  int channels = (int) qk_config_int (cfg, "channels");
  int v;

  v = qk_graph_input (g, image->image);
  for (int i = 1; i <= depth; i++) {
    const bool halve = i % 2 == 0;

    if (halve && channels <= MAX_CHANNELS / 2)
      channels *= 2;
    v = conv_bn_act (g, i, v, channels, halve ? 2 : 1, activation);
    if (attend)
      v = squeeze_excite (g, i, v, channels);
  }
  v = qk_graph_node (g, "avgpool", "global_avgpool", &v, 1, "%s", "");
  v = qk_graph_node (g, "fc", "linear", &v, 1, "out=%d init_std=%.9g",
                     image->classes, 1.0 / sqrt (3.0 * channels));
  return qk_graph_output (g, "logits", v);
}

static int
cnn_build (const struct qk_config *cfg, const struct qk_model_request *req,
           struct qk_graph *g)
{
  struct image_request image;
  const int r
    = image_request_read ("cnn", req, qk_config_int (cfg, "classes"), &image);

  return r < 0 ? r : build (cfg, &image, g);
}

static const struct qk_option options[]
  = { { .name = "channels",
        .type = QK_OPT_INT,
        .def = "16",
        .min = 1,
        .max = 1024,
        .help = "Channels of the first convolution; every second one doubles "
                "them, up to 4096." },
      { .name = "depth",
        .type = QK_OPT_INT,
        .def = "4",
        .min = 1,
        .max = 64,
        .help = "Number of 3x3 convolutions." },
      { .name = "classes",
        .type = QK_OPT_INT,
        .def = "0",
        .min = 0,
        .max = 1000000,
        .help = "Number of classes; 0 takes the data's." },
      { .name = "activation",
        .type = QK_OPT_STRING,
        .def = "relu",
        .help = "Layer after each batch-norm: relu, relu6, hardswish, silu or "
                "any other of one input." },
      { .name = "squeeze_excitation",
        .type = QK_OPT_BOOL,
        .def = "no",
        .help = "Weight the channels of each block by a small network that "
                "looks at their means." },
      { .name = NULL } };

static const struct qk_model_class cnn = {
  .cls = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "cnn",
                   "A plain small convolutional network", options),
  .build = cnn_build,
};

QK_PLUGIN ("cnn", PACKAGE_VERSION, "LGPL-2.1-or-later", &cnn.cls);
