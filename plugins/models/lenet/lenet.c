/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lenet: LeNet-5 with ReLU and maximum pooling; for classes, or for numbers.
 * LeCun et al. 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf */
#include "config.h"

#include <math.h>

#include "answer/answer.h"

#define LEAST_SIDE 14 /* pixels, so that something is left to flatten */

/* Two convolutions, each with the maximum of 2x2 pixels after it. */
static int
features (struct qk_graph *g, int v, int channels)
{
  v = qk_graph_node (g, "conv1", "conv2d", &v, 1, "out=%d kernel=5 padding=2",
                     channels);
  v = qk_graph_node (g, "relu1", "relu", &v, 1, "%s", "");
  v = qk_graph_node (g, "pool1", "maxpool2d", &v, 1, "kernel=2 stride=2");
  v = qk_graph_node (g, "conv2", "conv2d", &v, 1, "out=%d kernel=5",
                     8 * channels / 3);
  v = qk_graph_node (g, "relu2", "relu", &v, 1, "%s", "");
  return qk_graph_node (g, "pool2", "maxpool2d", &v, 1, "kernel=2 stride=2");
}

/* A fully connected layer, normal weights of variance GAIN / inputs. */
static int
linear (struct qk_graph *g, const char *name, int v, int64_t out, double gain)
{
  const struct qk_shape *s = qk_graph_shape (g, v);

  return qk_graph_node (g, name, "linear", &v, 1, "out=%lld init_std=%.9g",
                        (long long) out,
                        s == NULL ? 0 : sqrt (gain / (double) s->dims[1]));
}

static int
lenet_build (const struct qk_config *cfg, const struct qk_model_request *req,
             struct qk_graph *g)
{
  const struct qk_tensor_spec *image = req->input;
  struct answer answer;
  char text[160];
  int v, r;

  if (req->n_inputs != 1 || image->shape.ndim != 4
      || image->shape.dims[1] < LEAST_SIDE
      || image->shape.dims[2] < LEAST_SIDE)
    return qk_error (-EINVAL,
                     "lenet: the data have %d inputs, the first %s, expected "
                     "one image (1,H,W,C), H and W at least %d",
                     req->n_inputs, qk_spec_print (image, text, sizeof text),
                     LEAST_SIDE);
  if ((r = answer_find ("lenet", qk_config_int (cfg, "outputs"), req, &answer))
      < 0)
    return r;
  v = qk_graph_input (g, image);
  v = features (g, v, (int) qk_config_int (cfg, "channels"));
  v = qk_graph_node (g, "flatten", "flatten", &v, 1, "%s", "");
  v = linear (g, "fc1", v, 120, 2);
  v = qk_graph_node (g, "relu3", "relu", &v, 1, "%s", "");
  v = linear (g, "fc2", v, 84, 2);
  v = qk_graph_node (g, "relu4", "relu", &v, 1, "%s", "");
  v = linear (g, "fc3", v, answer.numbers, 1);
  return qk_graph_output (g, answer.name, v);
}

static const struct qk_option options[]
  = { { .name = "channels",
        .type = QK_OPT_INT,
        .def = "6",
        .min = 1,
        .max = 1024,
        .help = "Channels of the first convolution; the second has 8/3 as "
                "many" },
      { .name = "outputs",
        .type = QK_OPT_INT,
        .def = "0",
        .min = 0,
        .max = 1000000,
        .help = "Numbers that the network gives; 0 = the categories or "
                "numbers of the data's first target" },
      { .name = NULL } };

static const struct qk_model_class lenet = {
  .cls = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "lenet",
                   "LeNet-5, for classes or for regression", options),
  .build = lenet_build,
};

QK_PLUGIN ("lenet", PACKAGE_VERSION, "LGPL-2.1-or-later", &lenet.cls);
