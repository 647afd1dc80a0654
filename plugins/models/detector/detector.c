/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* detector: a detector of one stage that a second input tells what to look
 * for.
 *
 * image (N,H,W,3), query (N,Q): two convolutions of stride 2 make features
 * (N,H/4,W/4,C) of the image; a constant that encodes where each of them is
 * is added (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762); two linear
 * layers make of the query what channels are multiplied by and what is added
 * to them (FiLM, Perez et al. 2018, https://arxiv.org/abs/1709.07871); two
 * heads (N,H/4,W/4,…) say for each place of what category the object there
 * is, "scores", and where its sides are, "boxes", as in FCOS
 * (Tian et al. 2019, https://arxiv.org/abs/1904.01355). */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/model.h>

#define SIDES 4 /* of a box: left, top, right, bottom */

static int
conv_bn_relu (struct qk_graph *g, const char *conv, const char *bn,
              const char *relu, int v, int channels, int stride)
{
  v = qk_graph_node (g, conv, "conv2d", &v, 1,
                     "out=%d kernel=3 stride=%d padding=1 bias=no", channels,
                     stride);
  v = qk_graph_node (g, bn, "batchnorm2d", &v, 1, "%s", "");
  return qk_graph_node (g, relu, "relu", &v, 1, "%s", "");
}

/* Where each place of features like SHAPE is: channel c the sine, or cosine
 * in every second pair, of its row (even c) or column (odd c), of a wave that
 * gets longer with c. */
static int
position (struct qk_graph *g, const struct qk_shape *shape)
{
  const int64_t h = shape->dims[1], w = shape->dims[2], c = shape->dims[3];
  float *data = malloc (sizeof *data * (size_t) (h * w * c));
  int v;

  if (data == NULL)
    return qk_oom ("detector");
  for (int64_t y = 0; y < h; y++)
    for (int64_t x = 0; x < w; x++)
      for (int64_t k = 0; k < c; k++) {
        const double at = k % 2 == 0 ? (double) y : (double) x;
        const double phase = at / pow (100, (double) (k / 4) * 4 / (double) c);

        data[(y * w + x) * c + k]
          = (float) (k % 4 < 2 ? sin (phase) : cos (phase));
      }
  v = qk_graph_constant (g, "position", shape, data);
  free (data);
  return v;
}

/* V with its channels scaled and shifted as QUERY says. */
static int
modulate (struct qk_graph *g, int v, int query, int channels)
{
  int in[2] = { v, 0 };

  in[1] = qk_graph_node (g, "film.scale", "linear", &query, 1,
                         "out=%d init_std=1", channels);
  in[0] = qk_graph_node (g, "film.mul", "mul", in, 2, "%s", "");
  in[1] = qk_graph_node (g, "film.shift", "linear", &query, 1,
                         "out=%d init_std=1", channels);
  v = qk_graph_node (g, "film.add", "add", in, 2, "%s", "");
  return qk_graph_node (g, "film.relu", "relu", &v, 1, "%s", "");
}

/* Features of IMAGE that know where they are. */
static int
backbone (struct qk_graph *g, int image, int channels)
{
  const struct qk_shape *shape;
  int in[2];

  in[0] = conv_bn_relu (g, "conv1", "bn1", "relu1", image, channels, 2);
  in[0] = conv_bn_relu (g, "conv2", "bn2", "relu2", in[0], channels, 2);
  if ((shape = qk_graph_shape (g, in[0])) == NULL)
    return in[0];
  in[1] = position (g, shape);
  return qk_graph_node (g, "place", "add", in, 2, "%s", "");
}

static int
detector_build (const struct qk_config *cfg,
                const struct qk_model_request *req, struct qk_graph *g)
{
  const int channels = (int) qk_config_int (cfg, "channels");
  const int categories = (int) qk_config_int (cfg, "categories");
  int image, query, v, head, r;

  if (req->n_inputs != 2 || req->input[0].shape.ndim != 4
      || req->input[1].shape.ndim != 2)
    return qk_error (-EINVAL,
                     "detector: the data have %d inputs, expected two, an "
                     "image (1,H,W,C) and a query (1,Q)",
                     req->n_inputs);
  image = qk_graph_input (g, &req->input[0]);
  query = qk_graph_input (g, &req->input[1]);
  v = backbone (g, image, channels);
  v = modulate (g, v, query, channels);
  v = conv_bn_relu (g, "conv3", "bn3", "relu3", v, channels, 1);
  head = qk_graph_node (g, "head.scores", "conv2d", &v, 1,
                        "out=%d kernel=3 padding=1", categories);
  if ((r = qk_graph_output (g, "scores", head)) < 0)
    return r;
  head = qk_graph_node (g, "head.boxes", "conv2d", &v, 1,
                        "out=%d kernel=3 padding=1", SIDES);
  return qk_graph_output (g, "boxes", head);
}

static const struct qk_option options[]
  = { { .name = "channels",
        .type = QK_OPT_INT,
        .def = "16",
        .min = 4,
        .max = 1024,
        .help = "Channels of the features" },
      { .name = "categories",
        .type = QK_OPT_INT,
        .def = "2",
        .min = 2,
        .max = 4096,
        .help = "Categories of an object, with that of none" },
      { .name = NULL } };

static const struct qk_model_class detector = {
  .cls = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "detector",
                   "Detector of one stage with an image and a query", options),
  .build = detector_build,
};

QK_PLUGIN ("detector", PACKAGE_VERSION, "LGPL-2.1-or-later", &detector.cls);
