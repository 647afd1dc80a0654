/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_every_layer: a model with every layer there is, for tests of what has to
 * know them all. */
#include "qatkit/model.h"

static int
one (struct qk_graph *g, const char *name, const char *layer, int in,
     const char *options)
{
  return qk_graph_node (g, name, layer, &in, 1, "%s", options);
}

static int
every_build (const struct qk_config *cfg, const struct qk_model_request *req,
             struct qk_graph *g)
{
  int v, two[2];

  (void) cfg;
  v = qk_graph_input (g, req->input);
  v = one (g, "stem", "conv2d", v,
           "out=8 kernel_h=3 kernel_w=2 pad_top=1 pad_left=1 pad_bottom=1 "
           "pad_right=0 bias=no");
  v = one (g, "stem_bn", "batchnorm2d", v, "eps=1e-3");
  v = one (g, "stem_relu", "relu", v, "");
  two[0] = one (g, "swish", "hardswish", v, "");
  two[1] = one (g, "ramp", "hardsigmoid", v, "");
  v = qk_graph_node (g, "less", "sub", two, 2, "%s", "");
  two[0] = one (g, "smooth", "silu", v, "");
  two[1] = one (g, "mean", "global_avgpool", v, "");
  two[1] = one (g, "squeeze", "linear", two[1], "out=8");
  two[1] = one (g, "logistic", "sigmoid", two[1], "");
  v = qk_graph_node (g, "excite", "mul", two, 2, "%s", "");
  v = one (g, "exponential", "elu", v, "alpha=0.5");
  v = one (g, "leaky", "leaky_relu", v, "negative_slope=0.1");
  two[0] = one (g, "depthwise", "conv2d", v,
                "out=8 kernel=3 groups=8 padding=2 dilation=2 bias=no");
  two[0] = one (g, "depthwise_bn", "batchnorm2d", two[0], "");
  two[0] = one (g, "depthwise_relu6", "relu6", two[0], "");
  two[1] = one (g, "side", "conv2d", v, "out=8 groups=2");
  v = qk_graph_node (g, "sum", "add", two, 2, "%s", "");
  v = one (g, "sum_relu", "relu", v, "");
  two[0] = one (g, "max", "maxpool2d", v,
                "kernel=3 stride=2 padding=1 ceil_mode=yes");
  two[1] = one (g, "average", "avgpool2d", v,
                "kernel=3 stride=2 padding=1 count_include_pad=no "
                "ceil_mode=yes");
  v = qk_graph_node (g, "both", "concat", two, 2, "%s", "");
  v = one (g, "drop", "dropout", v, "p=0.1");
  two[0] = one (g, "normal", "gelu", v, "");
  two[1] = one (g, "normal_tanh", "gelu", v, "approximate=tanh");
  v = qk_graph_node (g, "normals", "add", two, 2, "%s", "");
  v = one (g, "hyperbolic", "tanh", v, "");
  v = one (g, "mix", "conv2d", v, "out=6 kernel=3 stride=2 padding=1");
  two[0] = one (g, "flat", "flatten", v, "");
  two[1] = one (g, "global", "global_avgpool", v, "");
  v = qk_graph_node (g, "ends", "concat", two, 2, "%s", "");
  v = qk_graph_node (g, "fc", "linear", &v, 1, "out=%d",
                     (int) req->target->categories);
  return qk_graph_output (g, "logits", v);
}

static const struct qk_model_class every = {
  .cls = QK_CLASS (struct qk_model_class, QK_KIND_MODEL, "tp_every_layer",
                   "Every layer", NULL),
  .build = every_build,
};

QK_PLUGIN ("tp_every_layer", "1.0", "LGPL-2.1-or-later", &every.cls);
