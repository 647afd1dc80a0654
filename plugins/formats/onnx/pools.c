/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pools.c: windows that slide over images, and the largest and mean elements
 * in them. */
#include "config.h"

#include "writer.h"

/* ---- windows ------------------------------------------------------------ */

/* Padding after the sample, with what ceil mode adds: pooling that does not
 * count it is the same. */
static int64_t
padding_after (int64_t in, int64_t out, int kernel, int stride, int dilation,
               int before, int after)
{
  const int64_t used
    = (out - 1) * stride + (int64_t) dilation * (kernel - 1) + 1 - in - before;

  return used > after ? used : after;
}

void
onnx_put_window (struct writer *w, Onnx__NodeProto *o,
                 const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct qk_shape *in = &value_of (w, n->in[0])->shape;
  const struct qk_shape *out = &value_of (w, n->out)->shape;
  const bool single = out->ndim == 2;
  const int64_t kernel[] = { op->kernel_h, op->kernel_w };
  const int64_t strides[] = { op->stride_h, op->stride_w };
  const int64_t pads[] = {
    op->pad_top, op->pad_left,
    padding_after (in->dims[1], single ? 1 : out->dims[1], op->kernel_h,
                   op->stride_h, op->dilation_h, op->pad_top, op->pad_bottom),
    padding_after (in->dims[2], single ? 1 : out->dims[2], op->kernel_w,
                   op->stride_w, op->dilation_w, op->pad_left, op->pad_right)
  };

  onnx_attr_ints (&w->b, o, "kernel_shape", kernel, 2);
  onnx_attr_ints (&w->b, o, "strides", strides, 2);
  onnx_attr_ints (&w->b, o, "pads", pads, 4);
}

void
onnx_put_dilation (struct writer *w, Onnx__NodeProto *o,
                   const struct qk_op *op)
{
  const int64_t dilations[] = { op->dilation_h, op->dilation_w };

  if (op->dilation_h != 1 || op->dilation_w != 1)
    onnx_attr_ints (&w->b, o, "dilations", dilations, 2);
}

/* ---- pooling ------------------------------------------------------------ */

/* A window as large as the sample. */
static bool
is_global (const struct qk_op *op, const struct qk_shape *in)
{
  return op->kernel_h == in->dims[1] && op->kernel_w == in->dims[2]
         && op->pad_top + op->pad_left + op->pad_bottom + op->pad_right == 0;
}

/* (N,C,1,1) as the (N,C) that N computes. */
static int
put_flat (struct writer *w, const struct qk_network_node *n, const char *in)
{
  const struct qk_qparams *q = &value_of (w, n->out)->q;
  const char *pooled = onnx_name (&w->b, "%s/pooled", n->name);
  const char *raw = raw_name (w, n);
  Onnx__NodeProto *o;

  /* both steps on the grid, or runtimes compute one of them in float */
  if (n->quantized)
    in = put_grid (w, in, pooled, q, 0, qk_grid_most (q),
                   onnx_name (&w->b, "%s/dequantized", pooled));
  o = onnx_node (&w->b, "Flatten", raw, 1, &in);
  onnx_attr_int (&w->b, o, "axis", 1);
  finish (w, n, raw);
  return 0;
}

/* Whether a last window reaches beyond the padding: ceil mode. */
static bool
op_reaches_beyond (const struct writer *w, const struct qk_network_node *n)
{
  const struct qk_op *op = n->op;
  const struct qk_shape *in = &value_of (w, n->in[0])->shape;
  const struct qk_shape *out = &value_of (w, n->out)->shape;

  return out->ndim == 4
         && (padding_after (in->dims[1], out->dims[1], op->kernel_h,
                            op->stride_h, op->dilation_h, op->pad_top,
                            op->pad_bottom)
               > op->pad_bottom
             || padding_after (in->dims[2], out->dims[2], op->kernel_w,
                               op->stride_w, op->dilation_w, op->pad_left,
                               op->pad_right)
                  > op->pad_right);
}

int
onnx_put_pool (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_network_value *x = value_of (w, n->in[0]);
  const bool flat = value_of (w, n->out)->shape.ndim == 2;
  const bool max = n->op->kind == QK_OP_MAXPOOL2D;
  const bool exact = n->quantized && !max;
  const char *in = w->name[n->in[0]];
  const char *raw
    = exact || flat ? onnx_name (&w->b, "%s/pool", n->name) : raw_name (w, n);
  Onnx__NodeProto *o;

  if (exact)
    in = put_integers (w, n);
  if (!max && is_global (n->op, &x->shape))
    node1 (w, "GlobalAveragePool", raw, in);
  else {
    o = onnx_node (&w->b, max ? "MaxPool" : "AveragePool", raw, 1, &in);
    if (op_reaches_beyond (w, n) && !max && n->op->count_pad)
      return qk_error (-ENOTSUP,
                       "node '%s': ONNX counts what ceil mode adds in "
                       "averages that count padding",
                       n->name);
    onnx_put_window (w, o, n);
    if (max)
      onnx_put_dilation (w, o, n->op);
    else
      onnx_attr_int (&w->b, o, "count_include_pad", n->op->count_pad);
  }
  if (exact)
    raw = put_rounded (w, n, raw);
  if (flat)
    return put_flat (w, n, raw);
  finish (w, n, raw);
  return 0;
}
