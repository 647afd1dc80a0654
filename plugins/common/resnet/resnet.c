/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resnet.c: build residual networks. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "imagespec/imagespec.h"

#include "resnet.h"

/* Samples of at most so many pixels a side are small: see "input". */
#define SMALL_INPUT 64
#define PREFIX_SIZE 32
#define NAME_SIZE 64

/* Convolution and batch-norm; PREFIX is "" or "layer1.0.". */
static int
conv_bn (struct qk_graph *g, const char *prefix, const char *conv,
         const char *bn, int in, int channels, int kernel, int stride)
{
  char name[NAME_SIZE];
  int v;

  snprintf (name, sizeof name, "%s%s", prefix, conv);
  v = qk_graph_node (g, name, "conv2d", &in, 1,
                     "out=%d kernel=%d stride=%d padding=%d bias=no", channels,
                     kernel, stride, (kernel - 1) / 2);
  snprintf (name, sizeof name, "%s%s", prefix, bn);
  return qk_graph_node (g, name, "batchnorm2d", &v, 1, "%s", "");
}

static int
relu (struct qk_graph *g, const char *prefix, const char *what, int in)
{
  char name[NAME_SIZE];

  snprintf (name, sizeof name, "%s%s", prefix, what);
  return qk_graph_node (g, name, "relu", &in, 1, "%s", "");
}

/* A block: two 3x3 convolutions or 1x1, 3x3, 1x1; the shortcut is a 1x1
 * convolution where the shape changes.  The stride is on the first 3x3, as
 * in torchvision. */
static int
block (struct qk_graph *g, const char *prefix, int in, int inputs, int planes,
       int stride, bool bottleneck)
{
  const int out = bottleneck ? 4 * planes : planes;
  char name[NAME_SIZE];
  int both[2] = { in, in };

  if (bottleneck) {
    int v = conv_bn (g, prefix, "conv1", "bn1", in, planes, 1, 1);

    v = relu (g, prefix, "relu1", v);
    v = conv_bn (g, prefix, "conv2", "bn2", v, planes, 3, stride);
    v = relu (g, prefix, "relu2", v);
    both[0] = conv_bn (g, prefix, "conv3", "bn3", v, out, 1, 1);
  } else {
    int v = conv_bn (g, prefix, "conv1", "bn1", in, planes, 3, stride);

    v = relu (g, prefix, "relu1", v);
    both[0] = conv_bn (g, prefix, "conv2", "bn2", v, out, 3, 1);
  }
  if (stride != 1 || inputs != out)
    both[1] = conv_bn (g, prefix, "downsample.0", "downsample.1", in, out, 1,
                       stride);
  snprintf (name, sizeof name, "%sadd", prefix);
  return relu (g, prefix, "relu",
               qk_graph_node (g, name, "add", both, 2, "%s", ""));
}

/* The first layers: 7x7 and pooling to a quarter of the sample's side, or
 * 3x3 at full size. */
static int
stem (struct qk_graph *g, int v, int channels, bool small)
{
  v = small ? conv_bn (g, "", "conv1", "bn1", v, channels, 3, 1)
            : conv_bn (g, "", "conv1", "bn1", v, channels, 7, 2);
  v = relu (g, "", "relu", v);
  if (!small)
    v = qk_graph_node (g, "maxpool", "maxpool2d", &v, 1,
                       "kernel=3 stride=2 padding=1");
  return v;
}

/* The classifier starts with the deviation of PyTorch's default, uniform in
 * +-1 / sqrt (inputs). */
static int
build (const struct resnet_variant *variant, const struct qk_config *cfg,
       const struct image_request *image, struct qk_graph *g)
{
  const int width = (int) qk_config_int (cfg, "channels");
  const char *input = qk_config_string (cfg, "input");
  const bool small
    = strcmp (input, "auto") == 0
        ? image->height <= SMALL_INPUT && image->width <= SMALL_INPUT
        : strcmp (input, "small") == 0;
  int v, inputs = width;

  v = qk_graph_input (g, image->image);
  v = stem (g, v, width, small);
  for (int l = 0; l < 4; l++)
    for (int b = 0; b < variant->blocks[l]; b++) {
      const int planes = width << l;
      char prefix[PREFIX_SIZE];

      snprintf (prefix, sizeof prefix, "layer%d.%d.", l + 1, b);
      v = block (g, prefix, v, inputs, planes, l > 0 && b == 0 ? 2 : 1,
                 variant->bottleneck);
      inputs = variant->bottleneck ? 4 * planes : planes;
    }
  v = qk_graph_node (g, "avgpool", "global_avgpool", &v, 1, "%s", "");
  v = qk_graph_node (g, "fc", "linear", &v, 1, "out=%d init_std=%.9g",
                     image->classes, 1.0 / sqrt (3.0 * inputs));
  return qk_graph_output (g, "logits", v);
}

int
resnet_build (const struct resnet_variant *variant,
              const struct qk_config *cfg, const struct qk_model_request *req,
              struct qk_graph *g)
{
  struct image_request image;
  const int r = image_request_read (variant->name, req,
                                    qk_config_int (cfg, "classes"), &image);

  return r < 0 ? r : build (variant, cfg, &image, g);
}

static const char *const inputs_choices[] = { "auto", "small", "large", NULL };

const struct qk_option resnet_options[] = {
  { .name = "classes",
    .type = QK_OPT_INT,
    .def = "0",
    .min = 0,
    .max = 1000000,
    .help = "Number of classes; 0 takes the data's." },
  { .name = "channels",
    .type = QK_OPT_INT,
    .def = "64",
    .min = 1,
    .max = 1024,
    .help = "Channels of the first layers; each of layer2 to layer4 doubles "
            "them." },
  { .name = "input",
    .type = QK_OPT_CHOICE,
    .def = "auto",
    .choices = inputs_choices,
    .help = "large: as published, 7x7 stride 2 and max-pooling first; small: "
            "3x3 stride 1 first, no pooling; auto: small for samples of at "
            "most 64 x 64." },
  { .name = NULL }
};
