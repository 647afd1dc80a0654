/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mobilenet_v2: inverted residuals with linear bottlenecks (Sandler et al.
 * 2018, https://arxiv.org/abs/1801.04381), parameters named as in
 * torchvision's mobilenet_v2. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "imagespec/imagespec.h"

/* Images of at most so many pixels a side are small: see "input". */
#define SMALL_INPUT 64
#define PREFIX_SIZE 32
#define NAME_SIZE 64

/* Expansion, channels, how often, stride of the first. */
static const struct {
  int expand, channels, repeat, stride;
} stages[]
  = { { 1, 16, 1, 1 }, { 6, 24, 2, 2 },  { 6, 32, 3, 2 }, { 6, 64, 4, 2 },
      { 6, 96, 3, 1 }, { 6, 160, 3, 2 }, { 6, 320, 1, 1 } };

#define N_STAGES ((int) (sizeof stages / sizeof stages[0]))

/* V rounded to a multiple of DIVISOR, not below it, and not more than a
 * tenth below V. */
static int
make_divisible (double v, int divisor)
{
  int n = (int) (v + divisor / 2.0) / divisor * divisor;

  if (n < divisor)
    n = divisor;
  return n < 0.9 * v ? n + divisor : n;
}

/* Convolution, batch-norm and ReLU6, named PREFIX.0, PREFIX.1, PREFIX.2. */
static int
conv_bn_relu (struct qk_graph *g, const char *prefix, int in, int channels,
              int kernel, int stride, int groups)
{
  char name[NAME_SIZE + 16];
  int v;

  snprintf (name, sizeof name, "%s.0", prefix);
  v = qk_graph_node (g, name, "conv2d", &in, 1,
                     "out=%d kernel=%d stride=%d padding=%d groups=%d bias=no",
                     channels, kernel, stride, (kernel - 1) / 2, groups);
  snprintf (name, sizeof name, "%s.1", prefix);
  v = qk_graph_node (g, name, "batchnorm2d", &v, 1, "%s", "");
  snprintf (name, sizeof name, "%s.2", prefix);
  return qk_graph_node (g, name, "relu6", &v, 1, "%s", "");
}

/* Expand 1x1, depthwise 3x3, project 1x1 without activation; added to the
 * input where the shapes agree.  PREFIX is "features.N". */
static int
inverted_residual (struct qk_graph *g, const char *prefix, int in, int inputs,
                   int channels, int stride, int expand)
{
  const int hidden = inputs * expand;
  char name[NAME_SIZE];
  int i = 0, v = in;

  if (expand != 1) {
    snprintf (name, sizeof name, "%s.conv.%d", prefix, i++);
    v = conv_bn_relu (g, name, v, hidden, 1, 1, 1);
  }
  snprintf (name, sizeof name, "%s.conv.%d", prefix, i++);
  v = conv_bn_relu (g, name, v, hidden, 3, stride, hidden);
  snprintf (name, sizeof name, "%s.conv.%d", prefix, i++);
  v = qk_graph_node (g, name, "conv2d", &v, 1, "out=%d kernel=1 bias=no",
                     channels);
  snprintf (name, sizeof name, "%s.conv.%d", prefix, i++);
  v = qk_graph_node (g, name, "batchnorm2d", &v, 1, "%s", "");
  if (stride == 1 && inputs == channels) {
    const int both[2] = { in, v };

    snprintf (name, sizeof name, "%s.add", prefix);
    v = qk_graph_node (g, name, "add", both, 2, "%s", "");
  }
  return v;
}

/* All of "features" but the stem; returns the last value, *CHANNELS of it. */
static int
bottlenecks (struct qk_graph *g, int v, double width, int round, bool small,
             int *channels)
{
  char name[PREFIX_SIZE];
  int n = 1;

  for (int s = 0; s < N_STAGES; s++) {
    const int out = make_divisible (stages[s].channels * width, round);

    for (int i = 0; i < stages[s].repeat; i++) {
      /* a small image keeps its size in the first strided stage too */
      const int stride = i > 0 || (small && s == 1) ? 1 : stages[s].stride;

      snprintf (name, sizeof name, "features.%d", n++);
      v = inverted_residual (g, name, v, *channels, out, stride,
                             stages[s].expand);
      *channels = out;
    }
  }
  return v;
}

static int
build (const struct qk_config *cfg, const struct image_request *image,
       struct qk_graph *g)
{
  const double width = qk_config_float (cfg, "width");
  const int round = (int) qk_config_int (cfg, "round_nearest");
  const char *input = qk_config_string (cfg, "input");
  const bool small
    = strcmp (input, "auto") == 0
        ? image->height <= SMALL_INPUT && image->width <= SMALL_INPUT
        : strcmp (input, "small") == 0;
  int channels = make_divisible (32 * width, round);
  const int last = make_divisible (1280 * (width > 1.0 ? width : 1.0), round);
  int v;

  v = qk_graph_input (g, image->image);
  v = conv_bn_relu (g, "features.0", v, channels, 3, small ? 1 : 2, 1);
  v = bottlenecks (g, v, width, round, small, &channels);
  v = conv_bn_relu (g, "features.18", v, last, 1, 1, 1);
  v = qk_graph_node (g, "avgpool", "global_avgpool", &v, 1, "%s", "");
  v = qk_graph_node (g, "classifier.0", "dropout", &v, 1, "p=%.9g",
                     qk_config_float (cfg, "dropout"));
  v = qk_graph_node (g, "classifier.1", "linear", &v, 1,
                     "out=%d init_std=0.01", image->classes);
  return qk_graph_output (g, "logits", v);
}

static int
mobilenet_v2_build (const struct qk_config *cfg,
                    const struct qk_model_request *req, struct qk_graph *g)
{
  struct image_request image;
  const int r = image_request_read ("mobilenet_v2", req,
                                    qk_config_int (cfg, "classes"), &image);

  return r < 0 ? r : build (cfg, &image, g);
}

static const char *const inputs[] = { "auto", "small", "large", NULL };

static const struct qk_option options[]
  = { { .name = "width",
        .type = QK_OPT_FLOAT,
        .def = "1.0",
        .min = 0.05,
        .max = 8,
        .help = "Factor on the number of channels of every layer." },
      { .name = "dropout",
        .type = QK_OPT_FLOAT,
        .def = "0.2",
        .min = 0,
        .max = 0.99,
        .help = "Probability that an input of the classifier is dropped in "
                "training." },
      { .name = "classes",
        .type = QK_OPT_INT,
        .def = "0",
        .min = 0,
        .max = 1000000,
        .help = "Number of classes; 0 takes the data's." },
      { .name = "round_nearest",
        .type = QK_OPT_INT,
        .def = "8",
        .min = 1,
        .max = 256,
        .help = "Channels are rounded to multiples of this number." },
      { .name = "input",
        .type = QK_OPT_CHOICE,
        .def = "auto",
        .choices = inputs,
        .help
        = "large: as published, 1/32 of the image's side at the end; "
          "small: the first convolution and features.2 keep the size, 1/8 "
          "at the end; auto: small for images of at most 64 x 64." },
      { .name = NULL } };

static const struct qk_model_class mobilenet_v2 = {
  .cls = QK_CLASS_DEFAULT (
    struct qk_model_class, QK_KIND_MODEL, "mobilenet_v2",
    "MobileNetV2: inverted residuals, ReLU6", options, 100, 0, ""),
  .build = mobilenet_v2_build,
};

QK_PLUGIN ("mobilenet_v2", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &mobilenet_v2.cls);
