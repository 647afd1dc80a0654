/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weighted.c: nodes whose weights ONNX has in an order of their own. */
#include "config.h"

#include <string.h>

#include <qatkit/numeric.h>

#include "writer.h"

/* The scale of output channel K's weights. */
static float
scale_of (const struct qk_op *op, int64_t k)
{
  return op->weight_scale[op->weight_scales > 1 ? k : 0];
}

/* The bias of an int8 node, dequantized. */
static const char *
put_bias (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const int64_t k = op->out_channels;
  const char *name = onnx_name (&w->b, "%s.bias", n->name);
  float *s = onnx_alloc (&w->b, (size_t) k * sizeof *s);

  if (s == NULL)
    return "";
  for (int64_t i = 0; i < k; i++)
    s[i] = op->in_q[0].scale * scale_of (op, i);
  return put_dequantized (w,
                          onnx_constant (&w->b, name, QK_I32, 1, &k, op->bias),
                          name, s, k, 0, QK_I32);
}

/* y = x weight + bias, along the last axis */
int
onnx_put_scaled (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const int64_t k = op->out_channels;
  const char *name = onnx_name (&w->b, "%s.weight", n->name);
  const char *product = onnx_name (&w->b, "%s/product", n->name);
  const char *raw = raw_name (w, n), *in[2] = { w->name[n->in[0]], "" };
  float *s = onnx_alloc (&w->b, (size_t) k * sizeof *s);

  if (s == NULL)
    return w->b.error;
  for (int64_t i = 0; i < k; i++)
    s[i] = scale_of (op, i);
  in[1] = put_dequantized (
    w, onnx_constant (&w->b, name, QK_I8, 1, &k, op->weight), name, s, k, 0,
    QK_I8);
  onnx_node (&w->b, "Mul", product, 2, in);
  in[0] = product;
  in[1] = put_bias (w, n);
  onnx_node (&w->b, "Add", raw, 2, in);
  return finish_node (w, n, raw);
}

/* ---- transposed convolution --------------------------------------------- */

/* Ours, (K,R,S,C/groups), as (C,K/groups,R,S) with the window backwards;
 * elements of SIZE bytes. */
static void
turn (const struct qk_op *op, size_t size, const void *from, void *to)
{
  const int64_t window = (int64_t) op->kernel_h * op->kernel_w;
  const int64_t c = op->in_channels / op->groups;
  const int64_t kg = op->out_channels / op->groups;
  const char *s = from;

  for (int64_t k = 0; k < op->out_channels; k++)
    for (int64_t i = 0; i < window; i++)
      for (int64_t j = 0; j < c; j++, s += size)
        memcpy ((char *) to
                  + (size_t) (((k / kg * c + j) * kg + k % kg) * window
                              + window - 1 - i)
                      * size,
                s, size);
}

static void
turned_dims (const struct qk_op *op, int64_t dims[4])
{
  dims[0] = op->in_channels;
  dims[1] = op->out_channels / op->groups;
  dims[2] = op->kernel_h;
  dims[3] = op->kernel_w;
}

/* Integers with a scale for each channel, which DequantizeLinear knows along
 * one axis: of several groups, which share it, the reals themselves. */
static const char *
put_int8_turned (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const int64_t k = op->out_channels;
  const size_t per = (size_t) op->kernel_h * (size_t) op->kernel_w
                     * (size_t) (op->in_channels / op->groups);
  const size_t count = (size_t) k * per;
  const char *name = onnx_name (&w->b, "%s.weight", n->name);
  float *s = onnx_alloc (&w->b, (size_t) k * sizeof *s);
  float *real = onnx_alloc (&w->b, count * sizeof *real);
  void *turned = onnx_alloc (&w->b, count * sizeof *real);
  int64_t dims[4];

  if (s == NULL || real == NULL || turned == NULL)
    return "";
  turned_dims (op, dims);
  for (int64_t i = 0; i < k; i++)
    s[i] = scale_of (op, i);
  if (op->groups == 1) {
    turn (op, 1, op->weight, turned);
    return put_dequantized (
      w, onnx_constant (&w->b, name, QK_I8, 4, dims, turned), name, s, k, 1,
      QK_I8);
  }
  for (size_t i = 0; i < count; i++)
    real[i] = (float) op->weight[i] * s[i / per];
  turn (op, sizeof *real, real, turned);
  return onnx_constant (&w->b, name, QK_F32, 4, dims, turned);
}

/* Weight and bias left in float; returns the number of inputs. */
static int
put_float_turned (struct writer *w, const struct qk_network_node *n,
                  const char **in)
{
  const struct qk_op *op = n->op;
  const struct qk_tensor *t = n->param[0].tensor;
  float *turned
    = onnx_alloc (&w->b, (size_t) qk_shape_count (&t->shape) * sizeof *turned);
  int64_t dims[4];

  if (turned == NULL)
    return 1;
  turned_dims (op, dims);
  turn (op, sizeof *turned, t->data, turned);
  in[1] = onnx_constant (&w->b, n->param[0].name, QK_F32, 4, dims, turned);
  if (n->n_params < 2)
    return 2;
  t = n->param[1].tensor;
  in[2] = onnx_constant (&w->b, n->param[1].name, QK_F32, 1, t->shape.dims,
                         t->data);
  return 3;
}

static void
put_transposed_window (struct writer *w, Onnx__NodeProto *o,
                       const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const int64_t *in = value_of (w, n->in[0])->shape.dims;
  const int64_t *out = value_of (w, n->out)->shape.dims;
  const int64_t kernel[] = { op->kernel_h, op->kernel_w };
  const int64_t strides[] = { op->stride_h, op->stride_w };
  const int64_t dilations[] = { op->dilation_h, op->dilation_w };
  const int64_t pads[]
    = { op->pad_top, op->pad_left, op->pad_bottom, op->pad_right };
  int64_t more[2];

  for (int i = 0; i < 2; i++)
    more[i] = out[1 + i] - (in[1 + i] - 1) * strides[i] + pads[i] + pads[2 + i]
              - dilations[i] * (kernel[i] - 1) - 1;
  onnx_attr_ints (&w->b, o, "kernel_shape", kernel, 2);
  onnx_attr_ints (&w->b, o, "strides", strides, 2);
  onnx_attr_ints (&w->b, o, "dilations", dilations, 2);
  onnx_attr_ints (&w->b, o, "pads", pads, 4);
  onnx_attr_ints (&w->b, o, "output_padding", more, 2);
  onnx_attr_int (&w->b, o, "group", op->groups);
}

int
onnx_put_transposed (struct writer *w, const struct qk_network_node *n)
{
  const char *raw = raw_name (w, n), *in[3] = { w->name[n->in[0]], "", "" };
  int count = 3;

  if (n->quantized) {
    in[1] = put_int8_turned (w, n);
    in[2] = put_bias (w, n);
  } else
    count = put_float_turned (w, n, in);
  put_transposed_window (w, onnx_node (&w->b, "ConvTranspose", raw, count, in),
                         n);
  return finish_node (w, n, raw);
}
