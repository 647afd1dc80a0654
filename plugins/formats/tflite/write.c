/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* write.c: an int8 network as a TFLite model.
 *
 * Both have images as (N,H,W,C) and weights as (K,R,S,C), symmetric, with a scale
 * for each output, and biases of int32.  Our integers of activations are 0 to
 * 255, TFLite's -128 to 127: all are 128 less, and their zero points too.  ReLU
 * and ReLU6 are activations of the operators before them; other bounds are
 * MAXIMUM and MINIMUM.
 * https://www.tensorflow.org/lite/performance/quantization_spec */
#include "config.h"

#include <stdlib.h>

#include "writer.h"

static int
put_node (struct writer *w, const struct qk_network_node *n)
{
  if (!n->quantized)
    return tflite_refuse (n, "it was not quantized");
  switch (n->op->kind) {
  case QK_OP_CONV2D:
  case QK_OP_LINEAR:
    return tflite_put_weighted (w, n);
  case QK_OP_BINARY:
    return tflite_put_binary (w, n);
  case QK_OP_CONCAT:
    return tflite_put_concat (w, n);
  case QK_OP_MAXPOOL2D:
  case QK_OP_AVGPOOL2D:
    return tflite_put_pool (w, n);
  case QK_OP_TABLE:
    return tflite_put_function (w, n);
  case QK_OP_PRELU:
    return tflite_put_prelu (w, n);
  case QK_OP_REDUCE:
    return tflite_put_reduce (w, n);
  case QK_OP_RESHAPE:
    return tflite_put_reshape (w, n);
  case QK_OP_TRANSPOSE:
    return tflite_put_transpose (w, n);
  case QK_OP_GATHER:
    return tflite_put_gather (w, n);
  case QK_OP_RESIZE:
    return tflite_put_resize (w, n);
  case QK_OP_MATMUL:
    return tflite_put_matmul (w, n);
  case QK_OP_SOFTMAX:
    return tflite_put_softmax (w, n);
  case QK_OP_CLAMP:
  case QK_OP_REQUANTIZE:
  case QK_OP_QUANTIZE:
    return put_simple (w, n, TFL_QUANTIZE, 1, tensor_of (w, n, 0));
  case QK_OP_DEQUANTIZE:
    put_unary (w, TFL_DEQUANTIZE, 2, tensor_of (w, n, 0), put_value (w, n));
    return 0;
  default:
    return tflite_refuse (n, NULL);
  }
}

/* ---- what goes in and comes out --------------------------------------------- */

/* How a program gives and gets numbers that have a grid. */
enum io { IO_FLOAT, IO_UINT8, IO_INT8 };

static enum io
io_of (const struct qk_config *cfg)
{
  const char *io = qk_config_string (cfg, "io");

  return strcmp (io, "float") == 0   ? IO_FLOAT
         : strcmp (io, "uint8") == 0 ? IO_UINT8
                                     : IO_INT8;
}

/* The tensor NAME like T, outside: real numbers, or the integers of TYPE. */
static int
put_outside (struct writer *w, const char *name, int t, enum io io)
{
  struct tfl_tensor copy;

  if (w->m.error < 0)
    return 0;
  copy = w->m.tensor[t];
  copy.name = name;
  copy.type = io == IO_FLOAT ? TFL_FLOAT32 : TFL_UINT8;
  if (io == IO_FLOAT)
    copy.scales = copy.zero_point = 0;
  else
    copy.zero_point += TFL_SHIFT;
  return tfl_add_tensor (&w->m, &copy);
}

/* What comes from outside may lie beyond the bounds of its grid. */
static void
put_input (struct writer *w, int v, enum io io, struct tfl_end *end)
{
  const struct qk_network_value *in = value_of (w, v);
  const struct grid q = grid_of (w, v);
  const bool bounded = q.scale > 0 && (in->q.qmin > 0 || in->q.qmax < 255);
  const bool direct = q.scale == 0 || io == IO_INT8;
  int t
    = put_tensor (w, direct ? in->name : tfl_name (&w->m, "%s/int8", in->name),
                  &in->shape, q);

  *end = (struct tfl_end){ in->name, t };
  if (!direct) {
    end->tensor = put_outside (w, in->name, t, io);
    put_unary (w, TFL_QUANTIZE, 1, end->tensor, t);
  }
  if (bounded)
    t = put_bounded (
      w, in->name, t, &in->shape, q, in->q.qmin, in->q.qmax,
      put_tensor (w, tfl_name (&w->m, "%s/within", in->name), &in->shape, q));
  w->tensor[v] = t;
}

/* Nodes may be called as an output is. */
static void
keep_name (struct writer *w, const char *output)
{
  const int n = w->m.error < 0 ? 0 : w->m.n_tensors;

  for (int i = 0; i < n; i++)
    if (strcmp (w->m.tensor[i].name, output) == 0)
      w->m.tensor[i].name = tfl_name (&w->m, "%s/int8", output);
}

static int
put_output (struct writer *w, const struct qk_network_output *o, enum io io,
            struct tfl_end *end)
{
  const struct qk_qparams *q = &value_of (w, o->value)->q;

  if (o->batch_axis != 0)
    return qk_error (-ENOTSUP,
                     "output '%s': its samples are along axis %d, expected 0 "
                     "of what TFLite is to compute",
                     o->name, o->batch_axis);
  end->name = o->name;
  end->tensor = w->tensor[o->value];
  if (q->scale == 0 || io == IO_INT8)
    return 0;
  keep_name (w, o->name);
  end->tensor = put_outside (w, o->name, w->tensor[o->value], io);
  put_unary (w, io == IO_FLOAT ? TFL_DEQUANTIZE : TFL_QUANTIZE,
             io == IO_FLOAT ? 2 : 1, w->tensor[o->value], end->tensor);
  return 0;
}

static int
put_constant (struct writer *w, int v)
{
  const struct qk_network_value *c = value_of (w, v);
  const size_t n = (size_t) qk_shape_count (&c->shape);
  struct tfl_tensor *t;
  int8_t *x;

  w->tensor[v] = put_tensor (w, c->name, &c->shape, grid_of (w, v));
  if (w->m.error < 0)
    return w->m.error;
  t = &w->m.tensor[w->tensor[v]];
  t->elements = n;
  t->data = c->constant;
  if (c->q.scale == 0)
    return 0;
  if ((x = tfl_alloc (&w->m, n)) == NULL)
    return w->m.error;
  for (size_t i = 0; i < n; i++)
    x[i] = (int8_t) (((const uint8_t *) c->constant)[i] - TFL_SHIFT);
  t->data = x;
  return 0;
}

/* ---- the whole ----------------------------------------------------------------- */

/* TFLite counts elements in int32. */
static int
check_sizes (const struct qk_network *net)
{
  for (int i = 0; i < net->n_values; i++)
    if (qk_shape_count (&net->value[i]->shape) > INT32_MAX)
      return qk_error (-ENOTSUP, "tensor %d: has more than 2^31 elements", i);
  return 0;
}

static int
put_network (struct writer *w, enum io io, struct tfl_end *input,
             struct tfl_end *output)
{
  const struct qk_network *net = w->net;
  int r = check_sizes (net);

  for (int i = 0; r == 0 && i < net->n_inputs; i++)
    put_input (w, net->input[i], io, &input[i]);
  for (int i = 0; r == 0 && i < net->n_values; i++)
    if (net->value[i]->constant != NULL)
      r = put_constant (w, i);
  for (int i = 0; r == 0 && i < net->n_nodes; i++)
    r = put_node (w, net->node[i]);
  for (int i = 0; r == 0 && i < net->n_outputs; i++)
    r = put_output (w, &net->output[i], io, &output[i]);
  return r < 0 ? r : w->m.error;
}

/* The categories of the first target that has some, one a line. */
static const char *
category_lines (struct writer *w)
{
  const struct qk_network *net = w->net;
  size_t size = 1;
  char *text, *end;
  int i;

  for (i = 0; i < net->n_targets && net->target[i].category == NULL; i++)
    ;
  if (i == net->n_targets)
    return NULL;
  for (int64_t j = 0; j < net->target[i].categories; j++)
    size += strlen (net->target[i].category[j]) + 1;
  if ((text = end = tfl_alloc (&w->m, size)) == NULL)
    return NULL;
  for (int64_t j = 0; j < net->target[i].categories; j++) {
    end = stpcpy (end, net->target[i].category[j]);
    *end++ = '\n';
  }
  return text;
}

int
tflite_write_network (const struct qk_config *cfg, int fd,
                      const struct qk_network *net)
{
  struct writer w = { .net = net };
  struct tfl_end *input
    = tfl_alloc (&w.m, ((size_t) net->n_inputs + 1) * sizeof *input);
  struct tfl_end *output
    = tfl_alloc (&w.m, ((size_t) net->n_outputs + 1) * sizeof *output);
  struct qk_format_meta meta = { "qatkit.classes", category_lines (&w) };
  const struct tfl_about about = { net->n_inputs,
                                   net->n_outputs,
                                   input,
                                   output,
                                   "made by " PACKAGE_NAME " " PACKAGE_VERSION,
                                   meta.value != NULL,
                                   &meta };
  int r = w.m.error;

  w.tensor = tfl_alloc (&w.m, ((size_t) net->n_values + 1) * sizeof (int));
  if (w.tensor != NULL
      && (r = put_network (&w, io_of (cfg), input, output)) == 0)
    r = tfl_write (&w.m, &about, fd);
  tfl_clear (&w.m);
  return r;
}
