/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* write.c: a network as an ONNX graph.
 *
 * The input is a float sample (N,C,H,W), normalised as for training, the
 * output float logits (N,classes); N is free.  What is on a grid of ours has
 * QuantizeLinear and DequantizeLinear around it ("QDQ"), from which runtimes
 * make integer kernels:
 *
 *   x -> Conv (x, DQ (w), DQ (bias)) -> Q -> [Clip] -> DQ -> ...
 *
 * with int8 weights per output channel and int32 biases of scale s_in * s_w.
 * ReLU and ReLU6 are the ends of the output's grid; where the bounds of a
 * node lie within 0..255, Clip of uint8 says so exactly.  Integers of more than
 * 8 bits are uint16, which ONNX has there since set 21. */
#include "config.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "build.h"
#include "edit.h"
#include "onnx-priv.h"
#include "writer.h"

int
onnx_unknown (const struct qk_network_node *n)
{
  return qk_error (-ENOTSUP,
                   "node '%s': ONNX has no counterpart here for layer '%s'",
                   n->name, n->layer);
}

static int
put_node (struct writer *w, const struct qk_network_node *n)
{
  if (!n->quantized && n->traits.role == QK_ROLE_BATCHNORM)
    return onnx_put_batchnorm (w, n);
  if (!n->quantized && n->traits.role == QK_ROLE_CLAMP)
    return onnx_put_clamp (w, n);
  switch (n->op->kind) {
  case QK_OP_CONV2D:
  case QK_OP_LINEAR:
    return onnx_put_weighted (w, n);
  case QK_OP_LINEAR_DYNAMIC:
    return onnx_put_dynamic (w, n);
  case QK_OP_CONV_TRANSPOSE2D:
    return onnx_put_transposed (w, n);
  case QK_OP_BINARY:
  case QK_OP_CONCAT:
    return onnx_put_joined (w, n);
  case QK_OP_MAXPOOL2D:
  case QK_OP_AVGPOOL2D:
    return onnx_put_pool (w, n);
  case QK_OP_TABLE:
    return onnx_put_table (w, n);
  case QK_OP_PRELU:
    return onnx_put_prelu (w, n);
  case QK_OP_REDUCE:
    return onnx_put_reduce (w, n);
  case QK_OP_RESHAPE:
    return onnx_put_reshape (w, n);
  case QK_OP_TRANSPOSE:
    return onnx_put_transpose (w, n);
  case QK_OP_GATHER:
    return onnx_put_gather (w, n);
  case QK_OP_RESIZE:
    return n->config != NULL ? onnx_put_resize (w, n) : onnx_unknown (n);
  case QK_OP_MATMUL:
  case QK_OP_SOFTMAX:
  case QK_OP_NORM:
  case QK_OP_LRN:
    return onnx_put_norms (w, n);
  case QK_OP_CLAMP:
  case QK_OP_REQUANTIZE:
    finish_clamped (w, n, w->name[n->in[0]], n->op->lo, n->op->hi);
    return 0;
  default:
    return onnx_unknown (n);
  }
}

/* ---- the whole ------------------------------------------------------------------------- */

/* Our shape without the batch as ONNX has it: (H,W,C) becomes (C,H,W).
 * Returns the number of dimensions. */
static int
onnx_dims (const struct qk_shape *s, int64_t *dims)
{
  for (int d = 1; d < s->ndim; d++)
    dims[onnx_axis (s->ndim, d) - 1] = s->dims[d];
  return s->ndim - 1;
}

/* An input, and on the grid it may have. */
static void
put_input (struct writer *w, int v)
{
  const struct qk_network_value *in = value_of (w, v);

  const char *out = onnx_name (&w->b, "%s/dequantized", in->name);

  w->name[v] = in->name;
  if (in->q.scale > 0)
    w->name[v] = w->integers ? put_grid (w, in->name, in->name, &in->q,
                                         in->q.qmin, in->q.qmax, out)
                             : put_sample_grid (w, in->name, &in->q, out);
}

/* A constant: its elements in ONNX's order, dequantized if it has a grid. */
static int
put_source_constant (struct writer *w, int v)
{
  const struct qk_network_value *c = value_of (w, v);
  const bool grid = c->q.scale > 0;
  const enum qk_dtype dtype = grid ? qk_grid_dtype (&c->q) : QK_F32;
  const size_t size = qk_dtype_size (dtype);
  const char *in[3];
  int64_t dims[QK_MAX_DIMS + 1] = { 1 }; /* no batch axis of its own */
  void *copy;
  int n;

  if ((n = onnx_dims (&c->shape, dims + 1)) < 0)
    return n;
  if ((copy = malloc ((size_t) qk_shape_count (&c->shape) * size)) == NULL)
    return qk_oom ("onnx: constant '%s'", c->name);
  if (c->shape.ndim == 4)
    onnx_to_oihw (c->constant, copy, c->shape.dims, size);
  else
    memcpy (copy, c->constant, (size_t) qk_shape_count (&c->shape) * size);

  in[0] = onnx_constant (&w->b, c->name, dtype, n + 1, dims, copy);
  free (copy);
  w->name[v] = in[0];
  if (!grid)
    return 0;
  in[1] = onnx_scalar (&w->b, onnx_name (&w->b, "%s/scale", c->name), QK_F32,
                       &c->q.scale);
  in[2] = put_zero_point (w, c->name, &c->q);
  w->name[v] = onnx_name (&w->b, "%s/dequantized", c->name);
  onnx_node (&w->b, "DequantizeLinear", w->name[v], 3, in);
  return 0;
}

/* The output O of NDIM axes, declared as INFO, with its batch where it is
 * outside. */
static void
put_batch_axis (struct writer *w, const struct qk_network_output *o,
                Onnx__ValueInfoProto *info, int ndim)
{
  Onnx__TensorShapeProto__Dimension **dim;
  const char *inner = onnx_name (&w->b, "%s/batch_first", o->name);
  int64_t order[QK_MAX_DIMS];
  Onnx__NodeProto *n;

  if (o->batch_axis == 0 || info == NULL)
    return;
  onnx_write_instead (&w->b, o->name, inner);
  n = onnx_node (&w->b, "Transpose", o->name, 1, &inner);
  dim = info->type->tensor_type->shape->dim;
  for (int i = 0; i < ndim; i++)
    order[i] = i < o->batch_axis ? i + 1 : i == o->batch_axis ? 0 : i;
  onnx_attr_ints (&w->b, n, "perm", order, ndim);
  for (int i = 0; i < o->batch_axis; i++) {
    Onnx__TensorShapeProto__Dimension *d = dim[i];

    dim[i] = dim[i + 1];
    dim[i + 1] = d;
  }
}

/* Inputs and outputs as the file declares them. */
static int
put_ends (struct writer *w)
{
  const struct qk_network *net = w->net;
  Onnx__ValueInfoProto **ends;
  int64_t dims[QK_MAX_DIMS];
  int i, n;

  ends = onnx_alloc (&w->b,
                     (size_t) (net->n_inputs + net->n_outputs) * sizeof *ends);
  if (ends == NULL)
    return w->b.error;
  for (i = 0; i < net->n_inputs; i++) {
    const struct qk_network_value *v = value_of (w, net->input[i]);

    n = onnx_dims (&v->shape, dims);
    ends[i] = onnx_value_info (&w->b, v->name, dims, n);
  }
  for (i = 0; i < net->n_outputs; i++) {
    n = onnx_dims (&value_of (w, net->output[i].value)->shape, dims);
    ends[net->n_inputs + i]
      = onnx_value_info (&w->b, net->output[i].name, dims, n);
    put_batch_axis (w, &net->output[i], ends[net->n_inputs + i], n + 1);
  }
  w->b.graph.input = ends;
  w->b.graph.output = ends + net->n_inputs;
  w->b.graph.n_input = (size_t) net->n_inputs;
  w->b.graph.n_output = (size_t) net->n_outputs;
  return 0;
}

static int
put_graph (struct writer *w)
{
  const struct qk_network *net = w->net;
  int64_t dims[QK_MAX_DIMS];
  int i, r;

  for (i = 0; i < net->n_values; i++)
    if ((r = onnx_dims (&net->value[i]->shape, dims)) < 0)
      return qk_error_prefix (r, "onnx: tensor %d: ", i);
  for (i = 0; i < net->n_inputs; i++)
    put_input (w, net->input[i]);
  for (i = 0; i < net->n_values; i++)
    if (net->value[i]->constant != NULL
        && (r = put_source_constant (w, i)) < 0)
      return r;
  for (i = 0; i < net->n_nodes; i++) {
    if ((r = put_node (w, net->node[i])) < 0)
      return r;
    if (w->b.error < 0)
      return w->b.error;
  }
  if ((r = put_ends (w)) < 0)
    return r;
  return w->b.error;
}

/* The categories of the first target that has some, as a JSON array; NULL:
 * not UTF-8. */
static char *
category_list (const struct qk_network *net)
{
  json_t *a = json_array ();
  char *text = NULL;
  int64_t j;
  int i, bad = 0;

  for (i = 0; i < net->n_targets && net->target[i].category == NULL; i++)
    ;
  for (j = 0; i < net->n_targets && j < net->target[i].categories; j++)
    bad |= json_array_append_new (a, json_string (net->target[i].category[j]));
  if (!bad)
    text = json_dumps (a, JSON_COMPACT);
  json_decref (a);
  return text;
}

/* A value of NET of more than 8 bits; NULL: there is none. */
static const struct qk_network_value *
wide_value (const struct qk_network *net)
{
  for (int i = 0; i < net->n_values; i++)
    if (net->value[i]->q.scale > 0 && qk_grid_is_wide (&net->value[i]->q))
      return net->value[i];
  return NULL;
}

/* The form and the ends that CFG asks for, of a graph of NET; *GRIDS as in
 * onnx_integer_io. */
static int
change_form (const struct qk_config *cfg, const struct qk_network *net,
             struct onnx_build *b, const char **grids)
{
  const struct qk_network_value *wide = wide_value (net);
  const char *io = qk_config_string (cfg, "io");
  const bool integers
    = strcmp (qk_config_string (cfg, "form"), "qoperator") == 0;
  const bool int4 = strcmp (qk_config_string (cfg, "weights"), "int4") == 0;
  int r = 0;

  if (integers && int4)
    return qk_error (-EINVAL, "weights of int4 are of the form qdq, expected "
                              "int8 in the form qoperator");
  if (wide != NULL && (integers || strcmp (io, "float") != 0))
    return qk_error (-ENOTSUP,
                     "onnx: '%s' has more than 8 bits, which need the form "
                     "qdq with inputs and outputs of float, not form %s with "
                     "%s",
                     wide->name, integers ? "qoperator" : "qdq", io);
  if (wide != NULL)
    onnx_raise (b);
  if (integers)
    r = onnx_to_qoperator (b);
  else if (int4)
    r = onnx_to_int4 (b);
  if (r < 0 || strcmp (io, "float") == 0)
    return r;
  return onnx_integer_io (
    b, strcmp (io, "int8") == 0 ? ONNX_IO_INT8 : ONNX_IO_UINT8, grids);
}

int
onnx_write_network (const struct qk_config *cfg, int fd,
                    const struct qk_network *net)
{
  struct qk_format_meta meta[3] = { { "qatkit.config", net->config },
                                    { "qatkit.classes", NULL },
                                    { "qatkit.io", NULL } };
  char *classes = category_list (net);
  struct writer w;
  int r;

  if (classes == NULL)
    return qk_error (-EINVAL, "onnx: the names of categories are not UTF-8");
  meta[1].value = classes;
  onnx_build_init (&w.b);
  w.net = net;
  w.integers = strcmp (qk_config_string (cfg, "io"), "float") != 0;
  w.name = calloc ((size_t) net->n_values + 1, sizeof *w.name);
  if (w.name == NULL)
    r = qk_oom ("onnx");
  else if ((r = put_graph (&w)) == 0
           && (r = change_form (cfg, net, &w.b, &meta[2].value)) == 0)
    r = onnx_build_write (&w.b, fd, meta, meta[2].value == NULL ? 2 : 3);
  free (w.name);
  onnx_build_clear (&w.b);
  free (classes);
  return r;
}
