/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layout.c: goes through the nodes of a file; the table of its operators. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"
#include "lay.h"

/* ---- the table -------------------------------------------------------------------- */

/* Operators that recognise.c makes begin with a '.' and are not listed. */
#define OP(name, since, lay, becomes)                                         \
  {                                                                           \
    name, lay, name " (opset " #since "): " becomes                           \
  }

/* Those that qlinear.c puts others in the place of. */
#define QLINEAR(name, domain, becomes)                                        \
  {                                                                           \
    name, NULL, name " (" domain "): " becomes ", and the grid of the result" \
  }

static const struct net_op table[] = {
  OP ("Abs", 1, lay_unary, "abs"),
  OP ("Add", 1, lay_add, "add, affine"),
  OP ("AveragePool", 1, lay_average_pool, "avgpool2d"),
  OP ("BatchNormalization", 1, lay_batch_norm, "batchnorm2d"),
  OP ("Cast", 1, lay_cast, "nothing, between real types"),
  OP ("CastLike", 15, lay_cast_like, "nothing, between real types"),
  OP ("Ceil", 1, lay_unary, "ceil"),
  OP ("Celu", 12, lay_unary, "celu"),
  OP ("Clip", 1, lay_clip, "relu, relu6, clip"),
  OP ("Concat", 1, lay_concat, "concat"),
  OP ("Conv", 1, lay_conv, "conv2d"),
  OP ("ConvTranspose", 1, lay_conv_transpose, "conv_transpose2d"),
  OP ("Cos", 7, lay_unary, "cos"),
  OP ("DepthToSpace", 1, lay_depth_to_space, "depth_to_space"),
  OP ("DequantizeLinear", 10, lay_dequantize, "nothing, behind a grid"),
  OP ("Div", 1, lay_div, "div, affine"),
  OP ("Dropout", 1, lay_dropout, "dropout"),
  OP ("Einsum", 12, lay_einsum, "linear, matmul; of two factors"),
  OP ("Elu", 1, lay_unary, "elu"),
  OP ("Erf", 9, lay_unary, "erf"),
  OP ("Exp", 1, lay_unary, "exp"),
  OP ("Expand", 8, lay_expand, "expand"),
  OP ("Flatten", 1, lay_flatten, "nothing, or a change of axes"),
  OP ("Floor", 1, lay_unary, "floor"),
  OP ("Gather", 1, lay_gather, "slice, gather; indices known beforehand"),
  OP ("Gelu", 20, lay_unary, "gelu"),
  OP ("Gemm", 1, lay_gemm, "linear"),
  OP ("GlobalAveragePool", 1, lay_global_average_pool, "global_avgpool"),
  OP ("GlobalMaxPool", 1, lay_global_max_pool, "reduce"),
  OP ("GroupNormalization", 18, lay_group_norm, "group_norm"),
  OP ("HardSigmoid", 1, lay_unary, "hardsigmoid"),
  OP ("HardSwish", 14, lay_unary, "hardswish"),
  OP ("Identity", 1, lay_pass, "nothing"),
  OP ("InstanceNormalization", 1, lay_instance_norm, "instance_norm"),
  OP ("LRN", 1, lay_lrn, "lrn"),
  OP ("LayerNormalization", 17, lay_layer_norm, "layer_norm"),
  OP ("LeakyRelu", 1, lay_unary, "leaky_relu"),
  OP ("Log", 1, lay_unary, "log"),
  OP ("LogSoftmax", 1, lay_log_softmax, "log_softmax"),
  OP ("MatMul", 1, lay_matmul, "linear, matmul"),
  OP ("Max", 1, lay_maximum, "max, clip"),
  OP ("MaxPool", 1, lay_max_pool, "maxpool2d"),
  OP ("Mean", 1, lay_mean, "add, affine"),
  OP ("Min", 1, lay_minimum, "min, clip"),
  OP ("Mish", 18, lay_unary, "mish"),
  OP ("Mul", 1, lay_mul, "mul, affine"),
  OP ("Neg", 1, lay_unary, "neg"),
  OP ("PRelu", 1, lay_prelu, "prelu"),
  OP ("Pad", 1, lay_pad, "pad"),
  OP ("Pow", 1, lay_pow, "square, sqrt, pow"),
  QLINEAR ("QGemm", "com.microsoft", "linear"),
  QLINEAR ("QLinearAdd", "com.microsoft", "add"),
  QLINEAR ("QLinearAveragePool", "com.microsoft", "avgpool2d"),
  QLINEAR ("QLinearConcat", "com.microsoft", "concat"),
  QLINEAR ("QLinearConv", "opset 10", "conv2d"),
  QLINEAR ("QLinearGlobalAveragePool", "com.microsoft", "global_avgpool"),
  QLINEAR ("QLinearLeakyRelu", "com.microsoft", "leaky_relu"),
  QLINEAR ("QLinearMatMul", "opset 10", "linear, matmul"),
  QLINEAR ("QLinearMul", "com.microsoft", "mul"),
  QLINEAR ("QLinearSigmoid", "com.microsoft", "sigmoid"),
  OP ("QuantizeLinear", 10, lay_quantize, "fake_quantize, a grid"),
  OP ("RMSNormalization", 23, lay_rms_norm, "rms_norm"),
  OP ("Reciprocal", 1, lay_unary, "reciprocal"),
  OP ("ReduceL1", 1, lay_reduce, "abs, reduce"),
  OP ("ReduceL2", 1, lay_reduce, "square, reduce, sqrt"),
  OP ("ReduceLogSum", 1, lay_reduce, "reduce, log"),
  OP ("ReduceLogSumExp", 1, lay_reduce, "exp, reduce, log"),
  OP ("ReduceMax", 1, lay_reduce, "reduce"),
  OP ("ReduceMean", 1, lay_reduce, "global_avgpool, reduce"),
  OP ("ReduceMin", 1, lay_reduce, "reduce"),
  OP ("ReduceSum", 1, lay_reduce, "reduce"),
  OP ("ReduceSumSquare", 1, lay_reduce, "square, reduce"),
  OP ("Relu", 1, lay_unary, "relu"),
  OP ("Reshape", 1, lay_reshape, "nothing, or a change of axes"),
  OP ("Resize", 10, lay_resize, "resize"),
  OP ("Round", 11, lay_unary, "round"),
  OP ("Selu", 1, lay_unary, "selu"),
  OP ("Sigmoid", 1, lay_unary, "sigmoid"),
  OP ("Sign", 9, lay_unary, "sign"),
  OP ("Sin", 7, lay_unary, "sin"),
  OP ("Slice", 1, lay_slice, "slice"),
  OP ("Softmax", 1, lay_softmax, "softmax"),
  OP ("Softplus", 1, lay_unary, "softplus"),
  OP ("Softsign", 1, lay_unary, "softsign"),
  OP ("SpaceToDepth", 1, lay_space_to_depth, "space_to_depth"),
  OP ("Split", 1, lay_split, "slice"),
  OP ("Sqrt", 1, lay_unary, "sqrt"),
  OP ("Squeeze", 1, lay_squeeze, "nothing"),
  OP ("Sub", 1, lay_sub, "sub, affine"),
  OP ("Sum", 1, lay_sum, "add"),
  OP ("Tanh", 1, lay_unary, "tanh"),
  OP ("ThresholdedRelu", 10, lay_unary, "thresholded_relu"),
  OP ("Tile", 6, lay_tile, "tile"),
  OP ("Transpose", 1, lay_transpose, "nothing, or a change of axes"),
  OP ("Unsqueeze", 1, lay_unsqueeze, "nothing"),
  OP ("Upsample", 7, lay_upsample, "resize"),
  OP ("Where", 9, lay_where, "mul, add; a condition known beforehand"),
  OP (".gelu", 1, lay_unary, "gelu"),
  OP (".hardsigmoid", 1, lay_unary, "hardsigmoid"),
  OP (".hardswish", 1, lay_unary, "hardswish"),
  OP (".mish", 1, lay_unary, "mish"),
  OP (".silu", 1, lay_unary, "silu"),
  OP (".layer_norm", 1, lay_layer_norm, "layer_norm"),
  OP (".group_norm", 1, lay_group_norm, "group_norm"),
  OP (".softmax", 1, lay_softmax, "softmax"),
  OP (".rms_norm", 1, lay_rms_norm, "rms_norm"),
  OP (".scale", 1, lay_scale, "batchnorm2d"),
  OP (".fake_quantize", 1, lay_fake_quantize, "fake_quantize"),
};
#define N_OPS ((int) (sizeof table / sizeof *table))

const struct net_op *
lay_operator (int i)
{
  return i < N_OPS && table[i].name[0] != '.' ? &table[i] : NULL;
}

static const struct net_op *
find_op (const char *name)
{
  int i;

  for (i = 0; i < N_OPS; i++)
    if (table[i].lay != NULL && strcmp (table[i].name, name) == 0)
      return &table[i];
  return NULL;
}

static bool
is_folded (const char *name)
{
  int i;

  for (i = 0; fold_operator (i) != NULL; i++)
    if (strcmp (fold_operator (i), name) == 0)
      return true;
  return false;
}

/* What to do without the operator; NULL: nothing known. */
static const char *
advice (const char *op)
{
  static const struct {
    const char *op, *text;
  } all[] = {
    { "If", "export the network for one way through it" },
    { "Loop", "export it with the loop unrolled" },
    { "Scan", "export it with the loop unrolled" },
    { "LSTM", "recurrent networks cannot be run" },
    { "GRU", "recurrent networks cannot be run" },
    { "RNN", "recurrent networks cannot be run" },
    { "NonMaxSuppression", "export the network without what comes after it" },
    { "TopK", "export the network without what comes after it" },
    { "NonZero", "its output has no size known beforehand" },
  };
  size_t i;

  for (i = 0; i < sizeof all / sizeof *all; i++)
    if (strcmp (all[i].op, op) == 0)
      return all[i].text;
  return NULL;
}

/* Of another domain than ONNX's; those of ONNX Runtime that quantize are ONNX's
 * own for more types. */
static bool
is_foreign (const struct net_node *nd)
{
  const char *d = nd->proto != NULL ? nd->proto->domain : NULL;

  if (d == NULL || *d == '\0' || strcmp (d, "ai.onnx") == 0 || nd->on_integers)
    return false;
  return strcmp (d, "com.microsoft") != 0
         || (strcmp (nd->op, "QuantizeLinear") != 0
             && strcmp (nd->op, "DequantizeLinear") != 0);
}

static bool
is_known (const struct net_node *nd)
{
  return !is_foreign (nd) && (find_op (nd->op) != NULL || is_folded (nd->op));
}

int
lay_check (struct net *n)
{
  const struct net_node *first = NULL;
  char list[300] = "";
  size_t used = 0;
  int i, k, count = 0;

  for (i = 0; i < n->n_nodes; i++) {
    const struct net_node *nd = &n->node[i];

    if (nd->gone || is_known (nd))
      continue;
    first = first == NULL ? nd : first;
    count++;
    for (k = 0; k < i; k++)
      if (!n->node[k].gone && !is_known (&n->node[k])
          && strcmp (n->node[k].op, nd->op) == 0)
        break;
    if (k == i && used < sizeof list - 60)
      used += (size_t) snprintf (list + used, sizeof list - used, "%s%.48s",
                                 used > 0 ? ", " : "", nd->op);
  }
  if (first == NULL)
    return 0;
  if (is_foreign (first))
    return net_error (n, first, -ENOTSUP,
                      "is an operator of the domain '%.60s', expected one of "
                      "ONNX's own; %d node%s cannot be run: %s",
                      first->proto->domain, count, count == 1 ? "" : "s",
                      list);
  return net_error (n, first, -ENOTSUP,
                    "this operator cannot be run%s%s; %d node%s of such: %s; "
                    "model.outputs = NAME, … can end the network before",
                    advice (first->op) != NULL ? ": " : "",
                    advice (first->op) != NULL ? advice (first->op) : "",
                    count, count == 1 ? "" : "s", list);
}

/* ---- nodes ---------------------------------------------------------------------------- */

const char *
lay_list (const int64_t *x, int n, char buf[LAY_LIST])
{
  size_t at = 0;
  int i;

  buf[0] = '\0';
  for (i = 0; i < n && at < LAY_LIST - 24; i++)
    at += (size_t) snprintf (buf + at, LAY_LIST - at, "%s%lld",
                             i > 0 ? "," : "", (long long) x[i]);
  return buf;
}

static int
append (struct lay *l, const struct net_node *nd, const char *name,
        const char *layer, const int *in, int n_in, const char *options)
{
  const int id = qk_graph_node (l->g, name, layer, in, n_in, "%s", options);

  (void) nd;
  return id < 0 ? qk_error_prefix (id, "%s: ", l->n->file->path) : id;
}

int
lay_node (struct lay *l, const struct net_node *nd, const char *layer,
          const int *in, int n_in, const char *fmt, ...)
{
  char *options = NULL, *name = NULL;
  va_list args;
  int id;

  va_start (args, fmt);
  id = vasprintf (&options, fmt, args);
  va_end (args);
  if (id < 0)
    return qk_oom ("%s", nd->name);
  if (l->own && asprintf (&name, "%s.%s%d", nd->name, layer, ++l->helpers) < 0)
    id = qk_oom ("%s", nd->name);
  else
    id = append (l, nd, l->own ? name : nd->name, layer, in, n_in, options);
  l->own = true;
  free (name);
  free (options);
  return id;
}

int
lay_helper (struct lay *l, const struct net_node *nd, const char *layer,
            int in, const char *fmt, ...)
{
  char *options = NULL, *name = NULL;
  va_list args;
  int id;

  va_start (args, fmt);
  id = vasprintf (&options, fmt, args);
  va_end (args);
  if (id < 0)
    return qk_oom ("%s", nd->name);
  if (asprintf (&name, "%s.%s%d", nd->name, layer, ++l->helpers) < 0)
    id = qk_oom ("%s", nd->name);
  else
    id = append (l, nd, name, layer, &in, 1, options);
  free (name);
  free (options);
  return id;
}

int
lay_fill (struct lay *l, int id, const char *param, int value,
          const float *data)
{
  const int r = qk_graph_fill (
    l->g, id, param, value >= 0 ? l->n->value[value].name : NULL, data);

  return r < 0 ? qk_error_prefix (r, "%s: ", l->n->file->path) : 0;
}

/* ---- all of them -------------------------------------------------------------------------- */

/* Those that no output depends on are left out. */
static void
drop_unused (struct net *n)
{
  int i, k;

  for (i = n->n_nodes - 1; i >= 0; i--) {
    struct net_node *nd = &n->node[i];
    bool used = false;

    for (k = 0; k < nd->n_out; k++)
      used = used || (nd->out[k] >= 0 && n->value[nd->out[k]].uses > 0);
    if (used && !nd->gone)
      continue;
    for (k = 0; k < nd->n_in && !nd->gone; k++)
      if (nd->in[k] >= 0)
        n->value[nd->in[k]].uses--;
    nd->gone = true;
  }
}

/* For fold.c. */
static bool
shape_of_value (void *cookie, int value, struct qk_shape *out)
{
  const struct lay *l = cookie;
  const struct view *v = &l->n->value[value].view;

  if (v->id < 0)
    return false;
  view_shape (l, v, out);
  return true;
}

static int
lay_one (struct lay *l, struct net_node *nd)
{
  const struct net_op *op;
  const char *unused;
  int r;

  if ((r = fold_node (l->n, nd, shape_of_value, l)) < 0 || nd->gone)
    return r;
  if ((op = find_op (nd->op)) == NULL)
    return net_error (l->n, nd, -ENOTSUP,
                      "depends on the data, expected something that is known "
                      "before the network runs");
  l->helpers = 0;
  l->own = false;
  r = lay_reads_integers (l, nd) ? lay_integers (l, nd, op) : op->lay (l, nd);
  if (r < 0 || (nd->y_scale >= 0 && (r = lay_round (l, nd)) < 0))
    return r;
  if ((unused = net_attr_unused (nd)) != NULL)
    return net_error (l->n, nd, -ENOTSUP,
                      "attribute '%.100s' is not known here", unused);
  return 0;
}

/* Axes of ours that V has when each of the file's is one. */
static int
axes_of (const struct view *v)
{
  int n = 1, i;

  for (i = 0; i < v->ndim; i++)
    n += !view_is_batch (v, i);
  return n;
}

/* The axis of output VALUE that is the batch, 0 where none is it alone;
 * -ENOTSUP where others have to do with it. */
static int
batch_axis (const struct lay *l, const struct net_value *v)
{
  int axis = 0, i;

  for (i = v->view.ndim - 1; i > 0; i--)
    if (view_is_batch (&v->view, i))
      axis = i;
  for (i = 1; i < v->view.ndim; i++)
    if (view_has_batch (&v->view, i) && i != axis && l->n->batch > 1)
      return qk_error (-ENOTSUP,
                       "%s: output '%.200s': the batch is part of axis %d, "
                       "expected an axis of its own",
                       l->n->file->path, v->name, i);
  return axis;
}

/* What nodes made for output V are called after: V, or something else where a
 * node, whose own helpers are called after it, has the name of what it
 * computes.  To be freed. */
static int
name_output (const struct lay *l, const struct net_value *v, char **out)
{
  bool taken = false;

  for (int i = 0; i < l->n->n_nodes; i++)
    taken = taken || strcmp (l->n->node[i].name, v->name) == 0;
  return asprintf (out, taken ? "%s.output" : "%s", v->name) < 0
           ? qk_oom ("%s", l->n->file->path)
           : 0;
}

/* Whoever takes our tensors of four axes for images (N,C,H,W) is to see the
 * file's axes in their order; all others are as in the file, but for the batch,
 * which comes first here. */
static int
arrange_output (struct lay *l, int value, const struct net_node *nd)
{
  const struct net_value *v = &l->n->value[value];
  const int ndim = v->view.ndim;
  int order[QK_MAX_DIMS] = { 0 }, batch, first, i, r;
  struct view out;

  if (v->view.id < 0)
    return qk_error (-ENOTSUP,
                     "%s: output '%.200s' does not depend on the data",
                     l->n->file->path, v->name);
  if (v->steps.scale > 0)
    return qk_error (-ENOTSUP,
                     "%s: output '%.200s' is of type %s, expected real "
                     "numbers: let the network end with DequantizeLinear",
                     l->n->file->path, v->name,
                     onnx_type_name (v->steps.type));
  if ((batch = batch_axis (l, v)) < 0)
    return batch;
  for (i = 0; i < ndim; i++)
    order[i] = i == 0 ? batch : i <= batch ? i - 1 : i;
  if (axes_of (&v->view) == 4 && ndim >= 3) {
    first = ndim == 4; /* the batch is an axis alone */
    if (first && !view_is_batch (&v->view, batch))
      return qk_error (-ENOTSUP,
                       "%s: output '%.200s': the batch is no axis of its own",
                       l->n->file->path, v->name);
    i = order[first];
    order[first] = order[first + 1];
    order[first + 1] = order[first + 2];
    order[first + 2] = i;
  }
  l->helpers = 0;
  if ((r = view_arrange (l, nd, &v->view, v->view.ndim, order, &out)) < 0)
    return r;
  if (out.id < l->n->n_inputs) { /* an output is what a node computes */
    char text[LAY_LIST];
    const struct qk_shape *s = view_ours (l, &out);

    out.id = lay_helper (l, nd, "reshape", out.id, "shape=%s",
                         lay_list (s->dims + 1, s->ndim - 1, text));
    if (out.id < 0)
      return out.id;
  }
  if ((r = qk_graph_output (l->g, v->name, out.id)) == 0)
    r = qk_graph_output_batch (l->g, batch);
  return r < 0 ? qk_error_prefix (r, "%s: ", l->n->file->path) : 0;
}

static int
place_output (struct lay *l, int value)
{
  struct net_node nd = { .op = "output" };
  int r = name_output (l, &l->n->value[value], &nd.name);

  if (r == 0)
    r = arrange_output (l, value, &nd);
  free (nd.name);
  return r;
}

int
lay_out (struct lay *l)
{
  int i, r;

  drop_unused (l->n);
  if ((r = lay_check (l->n)) < 0)
    return r;
  for (i = 0; i < l->n->n_nodes; i++)
    if (!l->n->node[i].gone && (r = lay_one (l, &l->n->node[i])) < 0)
      return r;
  for (i = 0; i < l->n->n_outputs; i++)
    if ((r = place_output (l, l->n->output[i])) < 0)
      return r;
  return 0;
}
