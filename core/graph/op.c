/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* op.c: facts about int8 operations. */
#include "config.h"

#include <qatkit/backend.h>

#include "graph/op-priv.h"

const char *
qk_op_kind_name (enum qk_op_kind kind)
{
  static const char *const names[] = {
    [QK_OP_CONV2D] = "conv2d",         [QK_OP_LINEAR] = "linear",
    [QK_OP_ADD] = "add",               [QK_OP_CONCAT] = "concat",
    [QK_OP_MAXPOOL2D] = "maxpool2d",   [QK_OP_AVGPOOL2D] = "avgpool2d",
    [QK_OP_CLAMP] = "clamp",           [QK_OP_RESHAPE] = "reshape",
    [QK_OP_QUANTIZE] = "quantize",     [QK_OP_DEQUANTIZE] = "dequantize",
    [QK_OP_REQUANTIZE] = "requantize",
  };

  if ((int) kind < 1 || (size_t) kind >= sizeof names / sizeof *names)
    return NULL;
  return names[kind];
}

int64_t
qk_op_weight_count (const struct qk_op *op)
{
  if (op->kind == QK_OP_LINEAR)
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
  if (op->kind == QK_OP_LINEAR)
    return op->out_channels * op->in_channels;
  if (op->kind == QK_OP_CONV2D)
    return out->dims[1] * out->dims[2] * qk_op_weight_count (op);
  return 0;
}
