/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* int8op.c: checks of int8 operations, shared by backends. */
#include "config.h"

#include "int8op.h"

/* Sizes of a checked OP. */
static void
geometry (const struct qk_op *op, const struct qk_shape *in,
          const struct qk_shape *out, struct int8op_geometry *g)
{
  *g = (struct int8op_geometry){
    .batch = out->dims[0], .h = 1, .w = 1, .p = 1, .q = 1
  };
  g->c = qk_shape_count (&in[0]) / g->batch;
  g->k = qk_shape_count (out) / g->batch;
  if (op->kind == QK_OP_LINEAR || op->kind == QK_OP_LINEAR_DYNAMIC) {
    g->w = g->q = g->c / op->in_channels;
    g->c = op->in_channels;
    g->k = op->out_channels;
  }
  if (op->kind != QK_OP_CONV2D && op->kind != QK_OP_CONV_TRANSPOSE2D
      && op->kind != QK_OP_MAXPOOL2D && op->kind != QK_OP_AVGPOOL2D)
    return;
  g->k = out->dims[out->ndim - 1];
  if (in->ndim != 4) { /* a window of 1x1 */
    g->c = in->dims[in->ndim - 1];
    g->w = g->q = qk_shape_count (in) / g->batch / g->c;
    return;
  }
  g->h = in->dims[1], g->w = in->dims[2], g->c = in->dims[3];
  g->p = out->ndim == 4 ? out->dims[1] : 1;
  g->q = out->ndim == 4 ? out->dims[2] : 1;
}

int
int8op_check_all (const struct qk_op *op, const struct qk_shape *in,
                  const struct qk_shape *out, struct int8op_geometry *g)
{
  const int r = qk_op_check (op, in, out);

  if (r == 0)
    geometry (op, in, out, g);
  return r;
}

int
int8op_check (const struct qk_op *op, const struct qk_shape *in,
              const struct qk_shape *out, struct int8op_geometry *g)
{
  int r;

  if (op->kind == QK_OP_LINEAR_DYNAMIC)
    return qk_error (-ENOTSUP, "%s: dynamic quantization is not done here",
                     op->name);
  if ((r = int8op_check_all (op, in, out, g)) == 0 && qk_op_is_wide (op))
    r = qk_error (-ENOTSUP, "%s: values of more than 8 bits", op->name);
  return r;
}

void
int8op_as_conv2d (struct qk_op *op)
{
  op->kernel_h = op->kernel_w = 1;
  op->stride_h = op->stride_w = 1;
  op->dilation_h = op->dilation_w = 1;
  op->pad_top = op->pad_left = op->pad_bottom = op->pad_right = 0;
  op->groups = 1;
}

#define HEAVY_BYTES 8192 /* of weights for a row */

struct int8op_parts
int8op_divide (int64_t m, int blocks, int64_t weight, int threads, int least)
{
  const bool heavy = blocks >= threads && weight > HEAVY_BYTES * m;
  const int64_t most = heavy || m < least ? 1 : m / least;
  const int pixels = most < threads ? (int) most : threads;
  const int channels = threads / pixels;

  return (struct int8op_parts){ pixels,
                                channels < blocks ? channels : blocks };
}
