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
 * node lie within 0..255, Clip of uint8 says so exactly. */
#include "config.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "build.h"
#include "norms.h"
#include "onnx-priv.h"
#include "writer.h"

static int
unknown (const struct qk_network_node *n)
{
  return qk_error (-ENOTSUP,
                   "node '%s': ONNX has no counterpart here for layer '%s'",
                   n->name, n->layer);
}

/* ---- layouts ----------------------------------------------------------------- */

/* Our shape without the batch as ONNX has it: (H,W,C) becomes (C,H,W).
 * Returns the number of dimensions. */
static int
onnx_dims (const struct qk_shape *s, int64_t *dims)
{
  for (int d = 1; d < s->ndim; d++)
    dims[onnx_axis (s->ndim, d) - 1] = s->dims[d];
  return s->ndim - 1;
}

/* (K,R,S,C) to (K,C,R,S), elements of SIZE bytes. */
static void
to_oihw (const void *from, void *to, const int64_t *d, size_t size)
{
  const char *s = from;
  char *t = to;
  const int64_t pixels = d[1] * d[2];
  int64_t k, c, i;

  for (k = 0; k < d[0]; k++)
    for (c = 0; c < d[3]; c++)
      for (i = 0; i < pixels; i++, t += size)
        memcpy (t, s + (size_t) ((k * pixels + i) * d[3] + c) * size, size);
}

/* (K,C) to (C,K), elements of SIZE bytes. */
static void
to_columns (const void *from, void *to, const int64_t *d, size_t size)
{
  const char *s = from;
  char *t = to;

  for (int64_t c = 0; c < d[1]; c++)
    for (int64_t k = 0; k < d[0]; k++, t += size)
      memcpy (t, s + (size_t) (k * d[1] + c) * size, size);
}

/* A matrix (K,C) as MatMul wants it on its right. */
static const char *
put_columns (struct writer *w, const char *name, enum qk_dtype dtype,
             const int64_t *dims, const void *data)
{
  const int64_t theirs[2] = { dims[1], dims[0] };
  const size_t size = qk_dtype_size (dtype);
  void *copy = malloc ((size_t) (dims[0] * dims[1]) * size);
  const char *put;

  if (copy == NULL) {
    w->b.error = qk_oom ("onnx");
    return "";
  }
  to_columns (data, copy, dims, size);
  put = onnx_constant (&w->b, name, dtype, 2, theirs, copy);
  free (copy);
  return put;
}

/* The weight of a convolution (NDIM 4, our order DIMS) or matrix. */
static const char *
put_weight (struct writer *w, const char *name, enum qk_dtype dtype, int ndim,
            const int64_t *dims, const void *data)
{
  const int64_t theirs[4] = { dims[0], dims[3], dims[1], dims[2] };
  const size_t size = qk_dtype_size (dtype);
  const char *put;
  void *copy;

  if (ndim != 4)
    return onnx_constant (&w->b, name, dtype, ndim, dims, data);
  copy = malloc ((size_t) (dims[0] * dims[1] * dims[2] * dims[3]) * size);
  if (copy == NULL) {
    w->b.error = qk_oom ("onnx");
    return "";
  }
  to_oihw (data, copy, dims, size);
  put = onnx_constant (&w->b, name, dtype, 4, theirs, copy);
  free (copy);
  return put;
}

/* ---- grids ---------------------------------------------------------------------- */

const char *
node1 (struct writer *w, const char *op, const char *out, const char *in)
{
  onnx_node (&w->b, op, out, 1, &in);
  return out;
}

/* Quantize RAW to grid Q, clamp to LO..HI and dequantize it to OUT.  PREFIX
 * makes the names in between. */
static const char *
put_grid (struct writer *w, const char *raw, const char *prefix,
          const struct qk_qparams *q, int lo, int hi, const char *out)
{
  struct onnx_build *b = &w->b;
  const uint8_t zp = (uint8_t) q->zero_point;
  const uint8_t low = (uint8_t) lo, high = (uint8_t) hi;
  const char *in[3];

  in[0] = raw;
  in[1]
    = onnx_scalar (b, onnx_name (b, "%s/scale", prefix), QK_F32, &q->scale);
  in[2] = onnx_scalar (b, onnx_name (b, "%s/zero_point", prefix), QK_U8, &zp);
  raw = onnx_name (b, "%s/quantized", prefix);
  onnx_node (b, "QuantizeLinear", raw, 3, in);
  if (lo > 0 || hi < 255) {
    const char *clip[3] = { raw };

    clip[1] = onnx_scalar (b, onnx_name (b, "%s/lo", prefix), QK_U8, &low);
    clip[2] = onnx_scalar (b, onnx_name (b, "%s/hi", prefix), QK_U8, &high);
    raw = onnx_name (b, "%s/clipped", prefix);
    onnx_node (b, "Clip", raw, 3, clip);
  }
  in[0] = raw;
  onnx_node (b, "DequantizeLinear", out, 3, in);
  return out;
}

/* RAW, which lies on the grid Q but for its scale FROM, with the scale TO. */
static const char *
put_rescaled (struct writer *w, const char *raw, const char *prefix,
              const struct qk_qparams *q, float from, float to)
{
  struct onnx_build *b = &w->b;
  const uint8_t zp = (uint8_t) q->zero_point;
  const char *in[3] = { raw };

  in[1] = onnx_scalar (b, onnx_name (b, "%s/from", prefix), QK_F32, &from);
  in[2] = onnx_scalar (b, onnx_name (b, "%s/zero_point", prefix), QK_U8, &zp);
  in[0] = onnx_name (b, "%s/quantized", prefix);
  onnx_node (b, "QuantizeLinear", in[0], 3,
             (const char *const[]){ raw, in[1], in[2] });
  in[1] = onnx_scalar (b, onnx_name (b, "%s/to", prefix), QK_F32, &to);
  raw = onnx_name (b, "%s/rescaled", prefix);
  onnx_node (b, "DequantizeLinear", raw, 3, in);
  return raw;
}

/* The name of the output that VALUE is; NULL if it is none. */
const char *
output_name (const struct writer *w, int value)
{
  int i;

  for (i = 0; i < w->net->n_outputs; i++)
    if (w->net->output[i].value == value)
      return w->net->output[i].name;
  return NULL;
}

/* Name under which the value of N is read after its last step. */
static const char *
final_name (struct writer *w, const struct qk_network_node *n,
            const char *what)
{
  const char *name = output_name (w, n->out);

  return name != NULL ? name : onnx_name (&w->b, "%s/%s", n->name, what);
}

void
finish_clamped (struct writer *w, const struct qk_network_node *n,
                const char *raw, int lo, int hi)
{
  w->name[n->out] = put_grid (w, raw, n->name, &value_of (w, n->out)->q, lo,
                              hi, final_name (w, n, "dequantized"));
}

/* Name for the float result of N, before its grid if it has one. */
const char *
raw_name (struct writer *w, const struct qk_network_node *n)
{
  return on_grid (w, n->out) ? onnx_name (&w->b, "%s/out", n->name)
                             : final_name (w, n, "out");
}

/* The same for results that cannot leave the range of their inputs. */
void
finish (struct writer *w, const struct qk_network_node *n, const char *raw)
{
  const struct qk_qparams *q = &value_of (w, n->out)->q;

  if (n->quantized || !on_grid (w, n->out))
    ;
  else {
    /* a float node whose output was put on a grid */
    finish_clamped (w, n, raw, q->qmin, q->qmax);
    return;
  }
  if (on_grid (w, n->out))
    finish_clamped (w, n, raw, 0, 255);
  else
    w->name[n->out] = raw;
}

/* ---- weights ---------------------------------------------------------------------- */

/* A linear layer on the pixels of images, a convolution there. */
static bool
is_pixelwise (const struct writer *w, const struct qk_network_node *n)
{
  return n->op->kind == QK_OP_LINEAR
         && value_of (w, n->in[0])->shape.ndim == 4;
}

/* Another one of more than vectors, which Gemm cannot do. */
static bool
is_matmul (const struct writer *w, const struct qk_network_node *n)
{
  return n->op->kind == QK_OP_LINEAR && value_of (w, n->in[0])->shape.ndim > 2
         && !is_pixelwise (w, n);
}

const char *
put_dequantized (struct writer *w, const char *constant, const char *name,
                 const float *scale, int64_t k, int axis, enum qk_dtype dtype)
{
  struct onnx_build *b = &w->b;
  const char *in[3] = { constant };
  const char *out = onnx_name (b, "%s/dequantized", name);
  Onnx__NodeProto *n;

  in[1]
    = onnx_constant (b, onnx_name (b, "%s/scale", name), QK_F32, 1, &k, scale);
  in[2] = onnx_constant (b, onnx_name (b, "%s/zero_point", name), dtype, 1, &k,
                         NULL);
  n = onnx_node (b, "DequantizeLinear", out, 3, in);
  onnx_attr_int (b, n, "axis", axis);
  return out;
}

/* Weight and bias of an int8 convolution or matrix into IN[1], IN[2]. */
static void
put_int8_weights (struct writer *w, const struct qk_network_node *n,
                  const char **in)
{
  const struct qk_op *op = n->op;
  const bool conv = op->kind == QK_OP_CONV2D, pixels = is_pixelwise (w, n);
  const int64_t k = op->out_channels;
  const int64_t window[4] = { k, op->kernel_h, op->kernel_w,
                              conv ? op->in_channels / op->groups : 0 };
  const int64_t pixel[4] = { k, 1, 1, op->in_channels };
  const int64_t matrix[2] = { k, op->in_channels };
  const int64_t *dims = conv ? window : pixels ? pixel : matrix;
  float *s = onnx_alloc (&w->b, (size_t) k * sizeof *s);
  float *sb = onnx_alloc (&w->b, (size_t) k * sizeof *sb);
  const char *weight = onnx_name (&w->b, "%s.weight", n->name);
  const char *bias = onnx_name (&w->b, "%s.bias", n->name);
  int64_t i;

  if (sb == NULL)
    return;
  for (i = 0; i < k; i++) {
    s[i] = op->weight_scale[op->weight_scales > 1 ? i : 0];
    sb[i] = op->in_q[0].scale * s[i];
  }
  if (is_matmul (w, n))
    in[1] = put_columns (w, weight, QK_I8, dims, op->weight);
  else
    in[1] = put_weight (w, weight, QK_I8, conv || pixels ? 4 : 2, dims,
                        op->weight);
  in[1] = put_dequantized (w, in[1], weight, s, k, is_matmul (w, n), QK_I8);
  in[2] = onnx_constant (&w->b, bias, QK_I32, 1, &k, op->bias);
  in[2] = put_dequantized (w, in[2], bias, sb, k, 0, QK_I32);
}

/* Weight and bias left in float; returns the number of inputs. */
static int
put_float_weights (struct writer *w, const struct qk_network_node *n,
                   const char **in)
{
  int i, count = 1;

  for (i = 0; i < n->n_params && count < 3; i++) {
    const struct qk_tensor *t = n->param[i].tensor;
    const int64_t pixel[4] = { t->shape.dims[0], 1, 1, t->shape.dims[1] };

    if (count == 1 && is_pixelwise (w, n))
      in[count++]
        = put_weight (w, n->param[i].name, QK_F32, 4, pixel, t->data);
    else if (count == 1 && is_matmul (w, n))
      in[count++]
        = put_columns (w, n->param[i].name, QK_F32, t->shape.dims, t->data);
    else
      in[count++] = put_weight (w, n->param[i].name, QK_F32, t->shape.ndim,
                                t->shape.dims, t->data);
  }
  return count;
}

/* ---- nodes ---------------------------------------------------------------------------- */

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

static void
put_window (struct writer *w, Onnx__NodeProto *o,
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

static void
put_dilation (struct writer *w, Onnx__NodeProto *o, const struct qk_op *op)
{
  const int64_t dilations[] = { op->dilation_h, op->dilation_w };

  if (op->dilation_h != 1 || op->dilation_w != 1)
    onnx_attr_ints (&w->b, o, "dilations", dilations, 2);
}

/* IN[0] by the matrix IN[1], and, of COUNT 3, plus IN[2]. */
static void
put_matmul (struct writer *w, const struct qk_network_node *n, int count,
            const char **in, const char *raw)
{
  const char *sum[2] = { raw, in[2] };

  if (count == 3)
    sum[0] = onnx_name (&w->b, "%s/product", n->name);
  onnx_node (&w->b, "MatMul", sum[0], 2, in);
  if (count == 3)
    onnx_node (&w->b, "Add", raw, 2, sum);
}

static int
put_weighted (struct writer *w, const struct qk_network_node *n)
{
  const bool conv = n->op->kind == QK_OP_CONV2D;
  const char *raw = raw_name (w, n), *in[3] = { w->name[n->in[0]], "", "" };
  const int64_t pixel[2] = { 1, 1 };
  Onnx__NodeProto *o;
  int count = 3;

  if (conv && value_of (w, n->in[0])->shape.ndim != 4)
    return n->quantized ? onnx_put_scaled (w, n) : unknown (n);
  if (n->quantized)
    put_int8_weights (w, n, in);
  else
    count = put_float_weights (w, n, in);
  if (conv) {
    o = onnx_node (&w->b, "Conv", raw, count, in);
    put_window (w, o, n);
    put_dilation (w, o, n->op);
    onnx_attr_int (&w->b, o, "group", n->op->groups);
  } else if (is_pixelwise (w, n)) {
    o = onnx_node (&w->b, "Conv", raw, count, in);
    onnx_attr_ints (&w->b, o, "kernel_shape", pixel, 2);
  } else if (is_matmul (w, n))
    put_matmul (w, n, count, in, raw);
  else {
    o = onnx_node (&w->b, "Gemm", raw, count, in);
    onnx_attr_int (&w->b, o, "transB", 1);
  }
  if (n->quantized && on_grid (w, n->out))
    finish_clamped (w, n, raw, n->op->lo, n->op->hi);
  else
    finish (w, n, raw);
  return 0;
}

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

/* Input J of N for an operator that broadcasts from the last axis on: what has
 * fewer axes than the output gets those it lacks, of size 1. */
static const char *
put_broadcast (struct writer *w, const struct qk_network_node *n, int j)
{
  const struct qk_shape *s = &value_of (w, n->in[j])->shape;
  const int ndim = value_of (w, n->out)->shape.ndim;

  if (n->op->kind == QK_OP_CONCAT)
    return put_repeated (w, n, j);
  if (n->op->kind != QK_OP_BINARY || s->ndim == ndim)
    return w->name[n->in[j]];
  return onnx_put_axes (w, n, w->name[n->in[j]], onnx_name (&w->b, "in%d", j),
                        s, ndim);
}

static int
concat_axis (const struct writer *w, const struct qk_network_node *n)
{
  const int ndim = value_of (w, n->out)->shape.ndim;

  return onnx_axis (ndim, n->op->axis > 0 ? n->op->axis : ndim - 1);
}

static int
put_joined (struct writer *w, const struct qk_network_node *n)
{
  const char *raw = raw_name (w, n), *in[QK_OP_MAX_INPUTS];
  Onnx__NodeProto *o;
  int i;

  for (i = 0; i < n->n_in; i++)
    in[i] = put_broadcast (w, n, i);
  o = onnx_node (&w->b, joining (n->op), raw, n->n_in, in);
  if (n->op->kind == QK_OP_CONCAT)
    onnx_attr_int (&w->b, o, "axis", concat_axis (w, n));
  if (n->quantized)
    finish_clamped (w, n, raw, n->op->lo, n->op->hi);
  else
    finish (w, n, raw);
  return 0;
}

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
    in = put_grid (w, in, pooled, q, 0, 255,
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

const char *
put_integers (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_qparams *q = &value_of (w, n->in[0])->q;

  return put_rescaled (w, w->name[n->in[0]],
                       onnx_name (&w->b, "%s/integers", n->name), q, q->scale,
                       1);
}

const char *
put_rounded (struct writer *w, const struct qk_network_node *n,
             const char *raw)
{
  const struct qk_qparams *q = &value_of (w, n->in[0])->q;

  raw = node1 (w, "Round", onnx_name (&w->b, "%s/round", n->name), raw);
  return put_rescaled (w, raw, onnx_name (&w->b, "%s/mean", n->name), q, 1,
                       q->scale);
}

static int
put_pool (struct writer *w, const struct qk_network_node *n)
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
    put_window (w, o, n);
    if (max)
      put_dilation (w, o, n->op);
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

/* Products of activations, of as many axes each as their result has. */
static void
put_product_of_two (struct writer *w, const struct qk_network_node *n,
                    const char *raw)
{
  const int ndim = value_of (w, n->out)->shape.ndim;
  struct qk_shape s[2];
  const char *x[2];

  for (int j = 0; j < 2; j++) {
    const int more = ndim - value_of (w, n->in[j])->shape.ndim;

    s[j] = value_of (w, n->in[j])->shape;
    x[j] = w->name[n->in[j]];
    if (more == 0)
      continue;
    x[j]
      = onnx_put_axes (w, n, x[j], onnx_name (&w->b, "in%d", j), &s[j], ndim);
    s[j].ndim = ndim;
    for (int i = ndim - 1; i > more; i--)
      s[j].dims[i] = s[j].dims[i - more];
    for (int i = 1; i <= more; i++)
      s[j].dims[i] = 1;
  }
  onnx_put_matmul (&w->b, n, s, x, raw);
}

/* What softmax N reads: on a grid, integers times its scale, the same numbers
 * as DequantizeLinear's, because ONNX Runtime makes one of softmax between
 * two grids that rounds another way. */
static const char *
put_exponents (struct writer *w, const struct qk_network_node *n)
{
  const float scale = value_of (w, n->in[0])->q.scale;
  const char *in[2], *out;

  if (!n->quantized || !on_grid (w, n->in[0]))
    return w->name[n->in[0]];
  out = onnx_name (&w->b, "%s/exponents", n->name);
  in[0] = put_integers (w, n);
  in[1] = onnx_scalar (&w->b, onnx_name (&w->b, "%s/step", n->name), QK_F32,
                       &scale);
  onnx_node (&w->b, "Mul", out, 2, in);
  return out;
}

/* Softmax, normalisations and products of activations. */
static int
put_norms (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_shape *in = &value_of (w, n->in[0])->shape;
  const char *x = w->name[n->in[0]], *raw = raw_name (w, n);
  int r = 0;

  if (n->op->kind == QK_OP_SOFTMAX)
    onnx_put_softmax (&w->b, n, in, put_exponents (w, n), raw);
  else if (n->op->kind == QK_OP_NORM)
    onnx_put_norm (&w->b, n, in, x, raw);
  else if (n->op->kind == QK_OP_LRN)
    r = onnx_put_lrn (&w->b, n, in, x, raw);
  else
    put_product_of_two (w, n, raw);
  if (n->quantized && on_grid (w, n->out))
    finish_clamped (w, n, raw, n->op->lo, n->op->hi);
  else
    finish (w, n, raw);
  return r;
}

static int
put_clamp (struct writer *w, const struct qk_network_node *n)
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

static int
put_batchnorm (struct writer *w, const struct qk_network_node *n)
{
  const char *raw = raw_name (w, n), *in[1 + QK_BN_PARAMS];
  const int axes = value_of (w, n->out)->shape.ndim;
  Onnx__NodeProto *o;
  int i;

  if (n->n_params != QK_BN_PARAMS || (axes != 2 && axes != 4))
    return unknown (n);
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
static int
put_table (struct writer *w, const struct qk_network_node *n)
{
  const char *raw = raw_name (w, n);

  if (!onnx_put_function (&w->b, n, w->name[n->in[0]], raw))
    return unknown (n);
  if (n->quantized)
    finish_clamped (w, n, raw, n->op->lo, n->op->hi);
  else
    finish (w, n, raw);
  return 0;
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

static int
put_prelu (struct writer *w, const struct qk_network_node *n)
{
  const char *raw = raw_name (w, n), *in[2] = { w->name[n->in[0]], "" };

  if (!n->quantized && n->n_params != 1)
    return unknown (n);
  in[1] = put_slopes (w, n);
  onnx_node (&w->b, "PRelu", raw, 2, in);
  if (n->quantized)
    finish_clamped (w, n, raw, n->op->lo, n->op->hi);
  else
    finish (w, n, raw);
  return 0;
}

static int
put_node (struct writer *w, const struct qk_network_node *n)
{
  if (!n->quantized && n->traits.role == QK_ROLE_BATCHNORM)
    return put_batchnorm (w, n);
  if (!n->quantized && n->traits.role == QK_ROLE_CLAMP)
    return put_clamp (w, n);
  switch (n->op->kind) {
  case QK_OP_CONV2D:
  case QK_OP_LINEAR:
    return put_weighted (w, n);
  case QK_OP_CONV_TRANSPOSE2D:
    return onnx_put_transposed (w, n);
  case QK_OP_BINARY:
  case QK_OP_CONCAT:
    return put_joined (w, n);
  case QK_OP_MAXPOOL2D:
  case QK_OP_AVGPOOL2D:
    return put_pool (w, n);
  case QK_OP_TABLE:
    return put_table (w, n);
  case QK_OP_PRELU:
    return put_prelu (w, n);
  case QK_OP_REDUCE:
    return onnx_put_reduce (w, n);
  case QK_OP_RESHAPE:
    return onnx_put_reshape (w, n);
  case QK_OP_TRANSPOSE:
    return onnx_put_transpose (w, n);
  case QK_OP_GATHER:
    return onnx_put_gather (w, n);
  case QK_OP_RESIZE:
    return n->config != NULL ? onnx_put_resize (w, n) : unknown (n);
  case QK_OP_MATMUL:
  case QK_OP_SOFTMAX:
  case QK_OP_NORM:
  case QK_OP_LRN:
    return put_norms (w, n);
  case QK_OP_CLAMP:
  case QK_OP_REQUANTIZE:
    finish_clamped (w, n, w->name[n->in[0]], n->op->lo, n->op->hi);
    return 0;
  default:
    return unknown (n);
  }
}

/* ---- the whole ------------------------------------------------------------------------- */

/* An input, and on the grid it may have. */
static void
put_input (struct writer *w, int v)
{
  const struct qk_network_value *in = value_of (w, v);

  w->name[v] = in->name;
  if (in->q.scale > 0)
    w->name[v]
      = put_grid (w, in->name, in->name, &in->q, in->q.qmin, in->q.qmax,
                  onnx_name (&w->b, "%s/dequantized", in->name));
}

/* A constant: its elements in ONNX's order, dequantized if it has a grid. */
static int
put_source_constant (struct writer *w, int v)
{
  const struct qk_network_value *c = value_of (w, v);
  const bool grid = c->q.scale > 0;
  const enum qk_dtype dtype = grid ? QK_U8 : QK_F32;
  const size_t size = qk_dtype_size (dtype);
  const uint8_t zp = (uint8_t) c->q.zero_point;
  const char *in[3];
  int64_t dims[QK_MAX_DIMS + 1] = { 1 }; /* no batch axis of its own */
  void *copy;
  int n;

  if ((n = onnx_dims (&c->shape, dims + 1)) < 0)
    return n;
  if ((copy = malloc ((size_t) qk_shape_count (&c->shape) * size)) == NULL)
    return qk_oom ("onnx: constant '%s'", c->name);
  if (c->shape.ndim == 4)
    to_oihw (c->constant, copy, c->shape.dims, size);
  else
    memcpy (copy, c->constant, (size_t) qk_shape_count (&c->shape) * size);

  in[0] = onnx_constant (&w->b, c->name, dtype, n + 1, dims, copy);
  free (copy);
  w->name[v] = in[0];
  if (!grid)
    return 0;
  in[1] = onnx_scalar (&w->b, onnx_name (&w->b, "%s/scale", c->name), QK_F32,
                       &c->q.scale);
  in[2] = onnx_scalar (&w->b, onnx_name (&w->b, "%s/zero_point", c->name),
                       QK_U8, &zp);
  w->name[v] = onnx_name (&w->b, "%s/dequantized", c->name);
  onnx_node (&w->b, "DequantizeLinear", w->name[v], 3, in);
  return 0;
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

int
onnx_write_network (const struct qk_config *cfg, int fd,
                    const struct qk_network *net)
{
  struct qk_format_meta meta[2]
    = { { "qatkit.config", net->config }, { "qatkit.classes", NULL } };
  char *classes = category_list (net);
  struct writer w;
  int r;

  (void) cfg;
  if (classes == NULL)
    return qk_error (-EINVAL, "onnx: the names of categories are not UTF-8");
  meta[1].value = classes;
  onnx_build_init (&w.b);
  w.net = net;
  w.name = calloc ((size_t) net->n_values + 1, sizeof *w.name);
  if (w.name == NULL)
    r = qk_oom ("onnx");
  else if ((r = put_graph (&w)) == 0)
    r = onnx_build_write (&w.b, fd, meta, 2);
  free (w.name);
  onnx_build_clear (&w.b);
  free (classes);
  return r;
}
