/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_transformer: a model of attention along the rows of an image or of all its
 * places, with all normalisations, for tests of what has to know them. */
#include <stdio.h>

#include "qatkit/model.h"

#define CHANNELS 8

static int
one (struct qk_graph *g, const char *name, const char *layer, int in,
     const char *options)
{
  return qk_graph_node (g, name, layer, &in, 1, "%s", options);
}

static int
both (struct qk_graph *g, const char *name, const char *layer, int a, int b,
      const char *options)
{
  const int in[2] = { a, b };

  return qk_graph_node (g, name, layer, in, 2, "%s", options);
}

/* x (N,H,W,C) as heads (N,2,H W,C/2). */
static int
heads (struct qk_graph *g, const char *name, int x)
{
  const struct qk_shape *s = qk_graph_shape (g, x);
  const int64_t places = s != NULL ? s->dims[1] * s->dims[2] : 1;
  char split[20], turned[20];

  snprintf (split, sizeof split, "%s_split", name);
  snprintf (turned, sizeof turned, "%s_heads", name);
  x = qk_graph_node (g, split, "reshape", &x, 1, "shape=%lld,2,%d",
                     (long long) places, CHANNELS / 2);
  return one (g, turned, "permute", x, "axes=0,2,1,3");
}

/* softmax (q k^T / 2) v of two heads, all places of the sample; like X. */
static int
multi_head (struct qk_graph *g, int q, int k, int v, int x)
{
  const struct qk_shape *s = qk_graph_shape (g, x);
  const int64_t h = s != NULL ? s->dims[1] : 1, w = s != NULL ? s->dims[2] : 1;
  int y;

  q = heads (g, "q", q);
  k = heads (g, "k", k);
  v = heads (g, "v", v);
  y = both (g, "scores", "matmul", q, k, "transpose_b=yes scale=0.5");
  y = one (g, "weights", "softmax", y, "");
  y = both (g, "values", "matmul", y, v, "");
  y = one (g, "values_turned", "permute", y, "axes=0,2,1,3");
  return qk_graph_node (g, "values_joined", "reshape", &y, 1,
                        "shape=%lld,%lld,%d", (long long) h, (long long) w,
                        CHANNELS);
}

/* softmax (q k^T / sqrt (C)) v: the places of a row see each other. */
static int
row_attention (struct qk_graph *g, int q, int k, int v)
{
  int y
    = both (g, "scores", "matmul", q, k, "transpose_b=yes scale=0.35355339");

  y = one (g, "weights", "softmax", y, "");
  return both (g, "values", "matmul", y, v, "");
}

/* x + linear (attention (x)) */
static int
attention (struct qk_graph *g, int x, bool all)
{
  const int norm = one (g, "norm1", "layer_norm", x, "");
  const int q = one (g, "q", "linear", norm, "out=8 init_std=0.3");
  const int k = one (g, "k", "linear", norm, "out=8 init_std=0.3");
  const int v = one (g, "v", "linear", norm, "out=8 bias=no init_std=0.3");
  int y = all ? multi_head (g, q, k, v, x) : row_attention (g, q, k, v);

  y = one (g, "proj", "linear", y, "out=8 init_std=0.3");
  return both (g, "residual1", "add", x, y, "");
}

/* Channels mixed by a matrix that is a constant of the network. */
static int
mixed (struct qk_graph *g, int x)
{
  const struct qk_shape s = { 4, { 1, 1, CHANNELS, CHANNELS } };
  float m[CHANNELS * CHANNELS];

  for (int i = 0; i < CHANNELS * CHANNELS; i++)
    m[i] = (float) (i * 5 % 17) / 8.0f - 1.0f;
  return both (g, "mixed", "matmul", x, qk_graph_constant (g, "matrix", &s, m),
               "");
}

static int
transformer_build (const struct qk_config *cfg,
                   const struct qk_model_request *req, struct qk_graph *g)
{
  int v, y;

  v = qk_graph_input (g, req->input);
  v = one (g, "stem", "conv2d", v, "out=8 kernel=4 stride=4");
  v = one (g, "response", "lrn", v, "size=5 alpha=0.5");
  v = one (g, "groups", "group_norm", v, "groups=2");
  v = attention (g, v, qk_config_bool (cfg, "heads"));
  y = one (g, "norm2", "rms_norm", v, "");
  y = one (g, "fc1", "linear", y, "out=16 init_std=0.3");
  y = one (g, "act", "gelu", y, "");
  y = one (g, "fc2", "linear", y, "out=8 init_std=0.3");
  v = both (g, "residual2", "add", v, y, "");
  y = mixed (g, v);
  y = one (g, "columns", "log_softmax", y, "axis=1");
  v = both (g, "sum", "add", v, y, "");
  v = one (g, "instances", "instance_norm", v, "affine=yes");
  v = one (g, "relu", "relu", v, "");
  v = one (g, "mean", "global_avgpool", v, "");
  v = qk_graph_node (g, "head", "linear", &v, 1, "out=%d init_std=0.3",
                     (int) req->target->categories);
  if (qk_config_bool (cfg, "softmax"))
    v = one (g, "log_scores", "log_softmax", v, "");
  return qk_graph_output (g, "logits", v);
}

static const struct qk_option options[]
  = { { "heads", QK_OPT_BOOL, "no", 0, 0, NULL,
        "Two heads that see the whole sample" },
      { "softmax", QK_OPT_BOOL, "no", 0, 0, NULL,
        "Logarithms of probabilities as the output" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static const struct qk_model_class transformer = {
  .cls = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "tp_transformer",
                   "Attention and normalisations", options),
  .build = transformer_build,
};

QK_PLUGIN ("tp_transformer", "1.0", "LGPL-2.1-or-later", &transformer.cls);
