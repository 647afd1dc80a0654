/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* weights.c: convolutions and matrices, in float and in int8. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "writer.h"

/* ---- weights ------------------------------------------------------------ */

void
onnx_to_oihw (const void *from, void *to, const int64_t *d, size_t size)
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

const char *
onnx_put_columns (struct writer *w, const char *name, enum qk_dtype dtype,
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
  const size_t size = qk_dtype_size (dtype);
  int64_t theirs[4];
  const char *put;
  void *copy;

  if (ndim != 4)
    return onnx_constant (&w->b, name, dtype, ndim, dims, data);
  theirs[0] = dims[0];
  theirs[1] = dims[3];
  theirs[2] = dims[1];
  theirs[3] = dims[2];
  copy = malloc ((size_t) (dims[0] * dims[1] * dims[2] * dims[3]) * size);
  if (copy == NULL) {
    w->b.error = qk_oom ("onnx");
    return "";
  }
  onnx_to_oihw (data, copy, dims, size);
  put = onnx_constant (&w->b, name, dtype, 4, theirs, copy);
  free (copy);
  return put;
}

/* A linear layer on the pixels of images, a convolution there. */
static bool
is_pixelwise (const struct writer *w, const struct qk_network_node *n)
{
  return n->op->kind == QK_OP_LINEAR
         && value_of (w, n->in[0])->shape.ndim == 4;
}

/* Another one of more than vectors, which Gemm cannot do. */
static bool
has_rows (const struct writer *w, const struct qk_network_node *n)
{
  return n->op->kind == QK_OP_LINEAR && value_of (w, n->in[0])->shape.ndim > 2
         && !is_pixelwise (w, n);
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
  in[1]
    = put_weight (w, weight, QK_I8, conv || pixels ? 4 : 2, dims, op->weight);
  in[1] = put_dequantized (w, in[1], weight, s, k, 0, QK_I8);
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
    else if (count == 1 && has_rows (w, n))
      in[count++] = onnx_put_columns (w, n->param[i].name, QK_F32,
                                      t->shape.dims, t->data);
    else
      in[count++] = put_weight (w, n->param[i].name, QK_F32, t->shape.ndim,
                                t->shape.dims, t->data);
  }
  return count;
}

/* ---- nodes -------------------------------------------------------------- */

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

/* An int8 linear layer of more than vectors: a Gemm of all of them, which is
 * one of integers for those who read the file.  MatMul with a bias is not, and
 * its sums of reals have rounding errors. */
static int
put_gemm_of_rows (struct writer *w, const struct qk_network_node *n,
                  const char **in, const char *raw)
{
  const struct qk_shape *to = &value_of (w, n->out)->shape;
  const int64_t row[2] = { -1, n->op->in_channels };
  int64_t dims[QK_MAX_DIMS] = { -1 };
  const char *rows = onnx_name (&w->b, "%s/rows", n->name), *y;
  Onnx__NodeProto *o;

  in[0] = onnx_put_dims (&w->b, in[0], 2, row, rows);
  in[0] = put_grid (w, in[0], rows, &n->op->in_q[0], 0,
                    qk_grid_most (&n->op->in_q[0]),
                    onnx_name (&w->b, "%s/dequantized", rows));
  y = onnx_name (&w->b, "%s/product", n->name);
  o = onnx_node (&w->b, "Gemm", y, 3, in);
  onnx_attr_int (&w->b, o, "transB", 1);
  if (on_grid (w, n->out))
    y = put_grid (w, y, y, &value_of (w, n->out)->q, n->op->lo, n->op->hi,
                  onnx_name (&w->b, "%s/results", n->name));
  memcpy (dims + 1, to->dims + 1, (size_t) (to->ndim - 1) * sizeof *dims);
  finish (w, n, onnx_put_dims (&w->b, y, to->ndim, dims, raw));
  return 0;
}

int
onnx_put_weighted (struct writer *w, const struct qk_network_node *n)
{
  const bool conv = n->op->kind == QK_OP_CONV2D;
  const char *raw = raw_name (w, n), *in[3] = { w->name[n->in[0]], "", "" };
  const int64_t pixel[2] = { 1, 1 };
  Onnx__NodeProto *o;
  int count = 3;

  if (conv && value_of (w, n->in[0])->shape.ndim != 4)
    return n->quantized ? onnx_put_scaled (w, n) : onnx_unknown (n);
  if (n->quantized)
    put_int8_weights (w, n, in);
  else
    count = put_float_weights (w, n, in);
  if (n->quantized && has_rows (w, n))
    return put_gemm_of_rows (w, n, in, raw);
  if (conv) {
    o = onnx_node (&w->b, "Conv", raw, count, in);
    onnx_put_window (w, o, n);
    onnx_put_dilation (w, o, n->op);
    onnx_attr_int (&w->b, o, "group", n->op->groups);
  } else if (is_pixelwise (w, n)) {
    o = onnx_node (&w->b, "Conv", raw, count, in);
    onnx_attr_ints (&w->b, o, "kernel_shape", pixel, 2);
  } else if (has_rows (w, n))
    put_matmul (w, n, count, in, raw);
  else {
    o = onnx_node (&w->b, "Gemm", raw, count, in);
    onnx_attr_int (&w->b, o, "transB", 1);
  }
  return finish_node (w, n, raw);
}
