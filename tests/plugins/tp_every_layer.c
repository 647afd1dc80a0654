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

/* Layers that move elements, all in their ways; the result has the shape of
 * V, of 8 channels. */
static int
moved (struct qk_graph *g, int v)
{
  const struct qk_shape *s = qk_graph_shape (g, v);
  int h, w, c, two[2];

  if (s == NULL)
    return v;
  h = (int) s->dims[1], w = (int) s->dims[2], c = (int) s->dims[3];
  v = qk_graph_node (g, "groups", "reshape", &v, 1, "shape=-1,2,%d", c / 2);
  v = one (g, "shuffle", "permute", v, "axes=0,1,3,2");
  v = qk_graph_node (g, "ungroup", "reshape", &v, 1, "shape=%d,%d,%d", h, w,
                     c);
  two[0] = one (g, "framed", "pad", v, "before=1,2,0 after=1,0,0 value=0.3");
  two[0] = one (g, "mirrored", "pad", two[0],
                "before=0,1,0 after=0,0,1 mode=reflect");
  two[0] = qk_graph_node (g, "inner", "slice", two, 1,
                          "starts=1,3,0 ends=%d,100,-1", h + 1);
  two[1] = one (g, "down", "slice", v,
                "starts=0,-1,0 ends=1,-9223372036854775808,100 steps=1,-1,1");
  two[1] = qk_graph_node (g, "up", "expand", two + 1, 1, "shape=%d,1,-1", h);
  v = qk_graph_node (g, "beside", "concat", two, 2, "axis=2");
  v = qk_graph_node (g, "half", "slice", &v, 1, "starts=0,%d,0 ends=%d,%d,%d",
                     w / 2, h, w / 2 + w, c);
  two[0] = one (g, "picked", "gather", v, "axis=3 indices=1,0,-1,1 fill=0.5");
  two[0] = one (g, "spread", "depth_to_space", two[0], "block=2");
  two[1] = one (g, "twice", "tile", v, "repeats=2,2,1");
  two[1] = one (g, "few", "slice", two[1], "starts=0,0,0 ends=1000,1000,1");
  v = qk_graph_node (g, "filled", "mul", two, 2, "%s", "");
  v = one (g, "narrower", "space_to_depth", v, "block=2");
  two[0] = one (g, "crossed", "depth_to_space", v, "block=2 mode=crd");
  two[0] = one (g, "back", "space_to_depth", two[0], "block=2 mode=crd");
  two[1] = v;
  return qk_graph_node (g, "again", "concat", two, 2, "%s", "");
}

static int
every_build (const struct qk_config *cfg, const struct qk_model_request *req,
             struct qk_graph *g)
{
  int v, two[2];

  (void) cfg;
  v = qk_graph_input (g, req->input);
  v = one (g, "stem", "conv2d", v,
           "out=8 kernel_h=3 kernel_w=2 padding_top=1 padding_left=1 "
           "padding_bottom=1 "
           "padding_right=0 bias=no");
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
  v = moved (g, v);
  v = one (g, "larger", "resize", v, "size=19,21 mode=linear");
  v = one (g, "smaller", "resize", v,
           "size=16,16 nearest=floor coords=asymmetric");
  two[0]
    = one (g, "max", "maxpool2d", v, "kernel=3 stride=2 padding=1 ceil=yes");
  two[1] = one (g, "average", "avgpool2d", v,
                "kernel=3 stride=2 padding=1 count_pad=no "
                "ceil=yes");
  v = qk_graph_node (g, "both", "concat", two, 2, "%s", "");
  v = one (g, "drop", "dropout", v, "p=0.1");
  two[0] = one (g, "normal", "gelu", v, "");
  two[1] = one (g, "normal_tanh", "gelu", v, "approximate=tanh");
  v = qk_graph_node (g, "normals", "add", two, 2, "%s", "");
  v = one (g, "hyperbolic", "tanh", v, "");
  v = one (g, "mix", "conv2d", v, "out=6 kernel=3 stride=2 padding=1");
  two[0] = one (g, "upward", "conv_transpose2d", v,
                "out=6 kernel=3 stride=2 padding=1 groups=2");
  two[1] = one (g, "upward_too", "conv_transpose2d", v,
                "out=6 kernel=4 stride=2 padding_top=1 padding_left=2 "
                "padding_bottom=2 padding_right=1 bias=no");
  v = qk_graph_node (g, "greater", "max", two, 2, "%s", "");
  v = one (g, "narrowed", "avgpool2d", v, "kernel=2 ceil=yes count_pad=no");
  v = one (g, "slope", "prelu", v, "channels=yes");
  two[0] = one (g, "widest", "reduce", v, "op=max axes=1");
  two[1] = one (g, "total", "reduce", v, "op=sum axes=1,2");
  v = qk_graph_node (g, "lesser", "min", two, 2, "%s", "");
  two[0] = v;
  two[1] = one (g, "divisor", "sigmoid", v, "");
  two[1] = one (g, "shifted", "affine", two[1], "scale=0.5 offset=1");
  v = qk_graph_node (g, "ratio", "div", two, 2, "%s", "");
  v = one (g, "above", "softplus", v, "beta=2");
  v = one (g, "single_bn", "batchnorm2d", v, "");
  v = one (g, "single_clip", "clip", v, "min=-1 max=2.5");
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
