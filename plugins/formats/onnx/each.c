/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* each.c: functions of each element, of one tensor or of several. */
#include "config.h"

#include <math.h>

#include <qatkit/numeric.h>

#include "ties.h"
#include "writer.h"

/* Name of the ONNX operator that joins tensors as N does. */
static const char *
joining (const struct qk_op *op)
{
  static const char *const names[QK_FUNCTIONS]
    = { [QK_ADD] = "Add", [QK_SUB] = "Sub", [QK_MUL] = "Mul",
        [QK_DIV] = "Div", [QK_MAX] = "Max", [QK_MIN] = "Min" };

  return op->kind == QK_OP_CONCAT ? "Concat" : names[op->function];
}

/* Input J of a concatenation: a constant, which has one sample, as often as
 * there are samples. */
static const char *
put_repeated (struct writer *w, const struct qk_network_node *n, int j)
{
  const char *both[2], *out = onnx_name (&w->b, "%s/repeated%d", n->name, j);
  int i;

  for (i = 0; i < n->n_in && value_of (w, n->in[i])->constant != NULL; i++)
    continue;
  if (i == n->n_in || value_of (w, n->in[j])->constant == NULL)
    return w->name[n->in[j]];
  both[0] = w->name[n->in[j]];
  both[1]
    = onnx_put_sizes (w, n, w->name[n->in[i]], onnx_name (&w->b, "sizes%d", j),
                      &value_of (w, n->in[j])->shape);
  onnx_node (&w->b, "Expand", out, 2, both);
  return out;
}

/* IN, input J of N for an operator that broadcasts from the last axis on: what
 * has fewer axes than the output gets those it lacks, of size 1. */
static const char *
put_broadcast (struct writer *w, const struct qk_network_node *n, int j,
               const char *in)
{
  const struct qk_shape *s = &value_of (w, n->in[j])->shape;
  const int ndim = value_of (w, n->out)->shape.ndim;

  return s->ndim == ndim
           ? in
           : onnx_put_axes (w, n, in, onnx_name (&w->b, "in%d", j), s, ndim);
}

/* The inputs of N, which joins two tensors element by element, into IN.  True:
 * what is made of them has ties. */
static bool
put_operands (struct writer *w, const struct qk_network_node *n,
              const char **in)
{
  float scale[QK_OP_MAX_INPUTS];
  /* sums of uint16 are of reals wherever they are made: no ties to avoid */
  const bool on_grids = n->quantized && n->n_in == 2 && !qk_op_is_wide (n->op);
  const bool ties
    = on_grids && onnx_scales_off_ties (n->op, scale) == ONNX_TIES_STAY;
  int i;

  for (i = 0; i < n->n_in; i++) {
    in[i] = w->name[n->in[i]];
    if (on_grids && !ties && scale[i] != n->op->in_q[i].scale)
      in[i] = put_reread (
        w, in[i], onnx_name (&w->b, "%s/reread%d", n->name, i), scale[i]);
    in[i] = put_broadcast (w, n, i, in[i]);
  }
  return ties;
}

static int
concat_axis (const struct writer *w, const struct qk_network_node *n)
{
  const int ndim = value_of (w, n->out)->shape.ndim;

  return onnx_axis (ndim, n->op->axis > 0 ? n->op->axis : ndim - 1);
}

int
onnx_put_joined (struct writer *w, const struct qk_network_node *n)
{
  const char *raw = raw_name (w, n), *in[QK_OP_MAX_INPUTS];
  Onnx__NodeProto *o;
  bool ties = false;
  int i;

  if (n->op->kind == QK_OP_BINARY)
    ties = put_operands (w, n, in);
  else
    for (i = 0; i < n->n_in; i++)
      in[i] = put_repeated (w, n, i);
  o = onnx_node (&w->b, joining (n->op), raw, n->n_in, in);
  if (n->op->kind == QK_OP_CONCAT)
    onnx_attr_int (&w->b, o, "axis", concat_axis (w, n));
  return ties ? finish_in_steps (w, n, raw) : finish_node (w, n, raw);
}

int
onnx_put_clamp (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_layer_traits *t = &n->traits;
  const char *raw = raw_name (w, n), *in[3] = { w->name[n->in[0]], "", "" };

  if (t->lo == 0 && t->hi == INFINITY) {
    node1 (w, "Relu", raw, in[0]);
    finish (w, n, raw);
    return 0;
  }
  if (t->lo != -INFINITY)
    in[1] = onnx_scalar (&w->b, onnx_name (&w->b, "%s/min", n->name), QK_F32,
                         &t->lo);
  if (t->hi != INFINITY)
    in[2] = onnx_scalar (&w->b, onnx_name (&w->b, "%s/max", n->name), QK_F32,
                         &t->hi);
  onnx_node (&w->b, "Clip", raw, *in[2] ? 3 : 2, in);
  finish (w, n, raw);
  return 0;
}

int
onnx_put_batchnorm (struct writer *w, const struct qk_network_node *n)
{
  const char *raw = raw_name (w, n), *in[1 + QK_BN_PARAMS];
  const int axes = value_of (w, n->out)->shape.ndim;
  Onnx__NodeProto *o;
  int i;

  if (n->n_params != QK_BN_PARAMS || (axes != 2 && axes != 4))
    return onnx_unknown (n);
  in[0] = w->name[n->in[0]];
  for (i = 0; i < QK_BN_PARAMS; i++)
    in[1 + i] = onnx_constant (&w->b, n->param[i].name, QK_F32, 1,
                               n->param[i].tensor->shape.dims,
                               n->param[i].tensor->data);
  o = onnx_node (&w->b, "BatchNormalization", raw, 1 + QK_BN_PARAMS, in);
  onnx_attr_float (&w->b, o, "epsilon", n->traits.eps);
  finish (w, n, raw);
  return 0;
}

/* A function of one tensor, known by its layer. */
int
onnx_put_table (struct writer *w, const struct qk_network_node *n)
{
  const char *raw = raw_name (w, n), *in = w->name[n->in[0]];
  float scale;

  if (n->quantized && on_grid (w, n->out) && !onnx_gelu_by_tanh (n)) {
    scale = onnx_table_scale_off_ties (n->op, n->layer);
    if (scale != n->op->in_q[0].scale)
      in = put_reread (w, in, onnx_name (&w->b, "%s/reread", n->name), scale);
  }
  if (!onnx_put_function (&w->b, n, in, raw))
    return onnx_unknown (n);
  return finish_node (w, n, raw);
}

/* A number for each channel beside (N,C,H,W). */
static const char *
put_channels (struct writer *w, const char *in, const char *name, int64_t k)
{
  const int64_t dims[3] = { k, 1, 1 }, three = 3;
  const char *both[2] = { in, "" };

  both[1] = onnx_constant (&w->b, onnx_name (&w->b, "%s/shape", name), QK_I64,
                           1, &three, dims);
  in = onnx_name (&w->b, "%s/channels", name);
  onnx_node (&w->b, "Reshape", in, 2, both);
  return in;
}

/* Slopes from the multipliers below 0, or the parameter. */
static const char *
put_slopes (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const int64_t channels
    = n->quantized ? op->out_channels : n->param[0].tensor->shape.dims[0];
  const char *name = onnx_name (&w->b, "%s.weight", n->name), *put;
  float *slope = onnx_alloc (&w->b, (size_t) channels * sizeof *slope);

  if (slope == NULL)
    return "";
  for (int64_t c = 0; c < channels; c++)
    slope[c] = n->quantized
                 ? op->multiplier[c] * op->out_q.scale / op->in_q[0].scale
                 : ((const float *) n->param[0].tensor->data)[c];
  put = onnx_constant (&w->b, name, QK_F32, 1, &channels, slope);
  if (value_of (w, n->in[0])->shape.ndim != 4 || channels == 1)
    return put;
  return put_channels (w, put, name, channels);
}

int
onnx_put_prelu (struct writer *w, const struct qk_network_node *n)
{
  const char *raw = raw_name (w, n), *in[2] = { w->name[n->in[0]], "" };

  if (!n->quantized && n->n_params != 1)
    return onnx_unknown (n);
  in[1] = put_slopes (w, n);
  onnx_node (&w->b, "PRelu", raw, 2, in);
  return finish_node (w, n, raw);
}
