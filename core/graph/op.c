/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* op.c: facts about int8 operations. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/backend.h>

#include "graph/op-priv.h"

const char *
qk_op_kind_name (enum qk_op_kind kind)
{
  static const char *const names[] = {
    [QK_OP_CONV2D] = "conv2d",
    [QK_OP_LINEAR] = "linear",
    [QK_OP_ADD] = "add",
    [QK_OP_CONCAT] = "concat",
    [QK_OP_MAXPOOL2D] = "maxpool2d",
    [QK_OP_AVGPOOL2D] = "avgpool2d",
    [QK_OP_CLAMP] = "clamp",
    [QK_OP_RESHAPE] = "reshape",
    [QK_OP_QUANTIZE] = "quantize",
    [QK_OP_DEQUANTIZE] = "dequantize",
    [QK_OP_REQUANTIZE] = "requantize",
    [QK_OP_LINEAR_DYNAMIC] = "linear_dynamic",
  };

  if ((int) kind < 1 || (size_t) kind >= sizeof names / sizeof *names)
    return NULL;
  return names[kind];
}

int64_t
qk_op_weight_count (const struct qk_op *op)
{
  if (op->kind == QK_OP_LINEAR || op->kind == QK_OP_LINEAR_DYNAMIC)
    return op->out_channels * op->in_channels;
  if (op->kind == QK_OP_CONV2D)
    return op->out_channels * op->kernel_h * op->kernel_w
           * (op->in_channels / (op->groups > 0 ? op->groups : 1));
  return 0;
}

int64_t
qk_op_macs (const struct qk_op *op, const struct qk_shape *in,
            const struct qk_shape *out)
{
  (void) in;
  if (op->kind == QK_OP_LINEAR || op->kind == QK_OP_LINEAR_DYNAMIC)
    return op->out_channels * op->in_channels;
  if (op->kind == QK_OP_CONV2D)
    return out->dims[1] * out->dims[2] * qk_op_weight_count (op);
  return 0;
}

static int
check_grid (const struct qk_op *op, const char *what,
            const struct qk_qparams *q)
{
  if (!isfinite (q->scale) || q->scale <= 0 || q->qmin < 0 || q->qmax > 255
      || q->qmin >= q->qmax || q->zero_point < q->qmin
      || q->zero_point > q->qmax)
    return qk_error (
      -EINVAL,
      "node '%s': %s grid scale %g, zero_point %d, range %d..%d "
      "is not one of uint8",
      op->name, what, (double) q->scale, q->zero_point, q->qmin, q->qmax);
  return 0;
}

/* Output size of a window along one axis; 0 if it does not fit. */
static int64_t
window_out (int64_t in, int kernel, int stride, int before, int after,
            int dilation)
{
  const int64_t span = (int64_t) dilation * (kernel - 1) + 1;
  const int64_t room = in + before + after - span;

  return room < 0 ? 0 : room / stride + 1;
}

static bool
between (int64_t v, int64_t min, int64_t max)
{
  return v >= min && v <= max;
}

static int
check_window (const struct qk_op *op, const struct qk_shape *in,
              const struct qk_shape *out)
{
  const int max = 65536;
  int64_t h, w, oh = 1, ow = 1;

  if (!between (op->kernel_h, 1, max) || !between (op->kernel_w, 1, max)
      || !between (op->stride_h, 1, max) || !between (op->stride_w, 1, max)
      || !between (op->dilation_h, 1, max) || !between (op->dilation_w, 1, max)
      || !between (op->pad_top, 0, max) || !between (op->pad_left, 0, max)
      || !between (op->pad_bottom, 0, max) || !between (op->pad_right, 0, max))
    return qk_error (-EINVAL, "node '%s': window geometry is out of range",
                     op->name);
  if (in->ndim != 4 || (out->ndim != 4 && out->ndim != 2))
    return qk_error (-EINVAL,
                     "node '%s': %s needs (N,H,W,C), got %d "
                     "dimensions and gives %d",
                     op->name, qk_op_kind_name (op->kind), in->ndim,
                     out->ndim);
  h = window_out (in->dims[1], op->kernel_h, op->stride_h, op->pad_top,
                  op->pad_bottom, op->dilation_h);
  w = window_out (in->dims[2], op->kernel_w, op->stride_w, op->pad_left,
                  op->pad_right, op->dilation_w);
  if (out->ndim == 4) {
    oh = out->dims[1];
    ow = out->dims[2];
  }
  if (h != oh || w != ow)
    return qk_error (
      -EINVAL, "node '%s': output is %lld x %lld, expected %lld x %lld",
      op->name, (long long) oh, (long long) ow, (long long) h, (long long) w);
  return 0;
}

/* No input within its range may overflow an int32 accumulator. */
static int
check_accumulator (const struct qk_op *op)
{
  const struct qk_qparams *q = &op->in_q[0];
  const int64_t per = qk_op_weight_count (op) / op->out_channels;
  const bool dynamic = op->kind == QK_OP_LINEAR_DYNAMIC;
  const int64_t widest = dynamic ? op->hi
                         : q->zero_point > q->qmax - q->zero_point
                           ? q->zero_point
                           : q->qmax - q->zero_point;
  int64_t k, i;

  for (k = 0; k < op->out_channels; k++) {
    int64_t sum = 0;

    for (i = 0; i < per; i++)
      sum += abs (op->weight[k * per + i]);
    if (sum * widest + (dynamic ? 0 : llabs ((int64_t) op->bias[k]))
        > INT32_MAX)
      return qk_error (-ERANGE,
                       "node '%s': output channel %lld could overflow its "
                       "32-bit accumulator",
                       op->name, (long long) k);
    if (!isfinite (op->multiplier[k]) || op->multiplier[k] <= 0)
      return qk_error (-EDOM,
                       "node '%s': multiplier of channel %lld is %g, "
                       "expected a positive number",
                       op->name, (long long) k, (double) op->multiplier[k]);
  }
  return 0;
}

static int
check_weighted (const struct qk_op *op, const struct qk_shape *in,
                const struct qk_shape *out)
{
  const int64_t c = in->dims[in->ndim - 1], k = out->dims[out->ndim - 1];

  if (op->in_channels != c || op->out_channels != k)
    return qk_error (-EINVAL,
                     "node '%s': %lld to %lld channels, its shapes say %lld "
                     "to %lld",
                     op->name, (long long) op->in_channels,
                     (long long) op->out_channels, (long long) c,
                     (long long) k);
  if (op->kind == QK_OP_CONV2D
      && (op->groups < 1 || c % op->groups != 0 || k % op->groups != 0))
    return qk_error (-EINVAL,
                     "node '%s': %d groups do not divide %lld and %lld "
                     "channels",
                     op->name, op->groups, (long long) c, (long long) k);
  if (op->kind != QK_OP_CONV2D && (in->ndim != 2 || out->ndim != 2))
    return qk_error (-EINVAL, "node '%s': linear needs (N,C)", op->name);
  if (op->weight == NULL || op->multiplier == NULL
      || (op->kind == QK_OP_LINEAR_DYNAMIC ? (const void *) op->real_bias
                                           : (const void *) op->bias)
           == NULL)
    return qk_error (-EINVAL, "node '%s': no weight, bias or multiplier",
                     op->name);
  return check_accumulator (op);
}

static int
check_same_count (const struct qk_op *op, const struct qk_shape *in,
                  const struct qk_shape *out)
{
  int i;

  for (i = 0; i < op->n_in; i++)
    if (qk_shape_count (&in[i]) != qk_shape_count (out))
      return qk_error (-EINVAL,
                       "node '%s': input %d has %lld elements, the output "
                       "%lld",
                       op->name, i, (long long) qk_shape_count (&in[i]),
                       (long long) qk_shape_count (out));
  return 0;
}

static int
check_concat (const struct qk_op *op, const struct qk_shape *in,
              const struct qk_shape *out)
{
  int64_t rows = 0, sum = 0;
  const int64_t c = out->dims[out->ndim - 1];
  int i;

  for (i = 0; i < op->n_in; i++) {
    const int64_t ci = in[i].dims[in[i].ndim - 1];

    rows = qk_shape_count (&in[i]) / ci;
    sum += ci;
    if (rows * c != qk_shape_count (out))
      sum = -1;
    if (sum < 0)
      break;
  }
  if (sum != c)
    return qk_error (-EINVAL, "node '%s': inputs do not add up to the output",
                     op->name);
  return 0;
}

/* Floats in and out: there are no grids to check. */
static int
check_dynamic (const struct qk_op *op, const struct qk_shape *in,
               const struct qk_shape *out)
{
  int64_t k;
  int r;

  if (op->n_in != 1)
    return qk_error (-EINVAL, "node '%s': %s with %d inputs", op->name,
                     qk_op_kind_name (op->kind), op->n_in);
  if (op->lo != 0 || op->hi < 3 || op->hi > 255)
    return qk_error (-EINVAL,
                     "node '%s': values of %d..%d, expected 0..3 to 0..255",
                     op->name, op->lo, op->hi);
  if ((r = check_weighted (op, in, out)) < 0)
    return r;
  for (k = 0; k < op->out_channels; k++)
    if (!isfinite (op->real_bias[k]))
      return qk_error (-EDOM, "node '%s': bias of channel %lld is %g",
                       op->name, (long long) k, (double) op->real_bias[k]);
  return 0;
}

int
qk_op_check (const struct qk_op *op, const struct qk_shape *in,
             const struct qk_shape *out)
{
  const bool window = op->kind == QK_OP_CONV2D || op->kind == QK_OP_MAXPOOL2D
                      || op->kind == QK_OP_AVGPOOL2D;
  const bool weighted = op->kind == QK_OP_CONV2D || op->kind == QK_OP_LINEAR;
  const int want = op->kind == QK_OP_ADD ? 2 : 1;
  int i, r;

  if (qk_op_kind_name (op->kind) == NULL || op->kind == QK_OP_QUANTIZE
      || op->kind == QK_OP_DEQUANTIZE)
    return qk_error (-EINVAL, "node '%s': op kind %d is not one of a network",
                     op->name, (int) op->kind);
  if (op->kind == QK_OP_LINEAR_DYNAMIC)
    return check_dynamic (op, in, out);
  if (op->kind == QK_OP_CONCAT ? op->n_in < 1 : op->n_in != want)
    return qk_error (-EINVAL, "node '%s': %s with %d inputs", op->name,
                     qk_op_kind_name (op->kind), op->n_in);
  for (i = 0; i < op->n_in; i++)
    if ((r = check_grid (op, "input", &op->in_q[i])) < 0)
      return r;
  if (op->out_q.scale == 0 && weighted)
    ; /* f32 output */
  else if ((r = check_grid (op, "output", &op->out_q)) < 0)
    return r;
  else if (op->lo < op->out_q.qmin || op->hi > op->out_q.qmax
           || op->lo > op->hi)
    return qk_error (-EINVAL, "node '%s': clamp %d..%d is outside %d..%d",
                     op->name, op->lo, op->hi, op->out_q.qmin, op->out_q.qmax);
  if (window && (r = check_window (op, in, out)) < 0)
    return r;
  if (weighted)
    return check_weighted (op, in, out);
  if (op->kind == QK_OP_CONCAT)
    return check_concat (op, in, out);
  if (window) {
    if (in->dims[3] != out->dims[out->ndim - 1])
      return qk_error (-EINVAL, "node '%s': pooling changes the channels",
                       op->name);
    return 0;
  }
  return check_same_count (op, in, out);
}
