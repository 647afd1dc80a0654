/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* describe.c: int8 operations in oneDNN's terms.
 *
 * Convolution: dst = post_ops ((conv (src - z) + bias) * M) + z_out, bytes by
 * rounding the whole: half-way cases and large zero points may round another
 * way than numeric.h says, which the backend's caps declare. */
#include "config.h"

#include "onednn.h"

#include <string.h>

/* Return from the function with an error if oneDNN says one. */
#define TRY(op, call)                                                         \
  do {                                                                        \
    const dnnl_status_t status_ = (call);                                     \
                                                                              \
    if (status_ != dnnl_success)                                              \
      return onednn_fail (op, status_);                                       \
  } while (0)

int
onednn_fail (const struct qk_op *op, dnnl_status_t status)
{
  const char *kind = qk_op_kind_name (op->kind);

  switch (status) {
  case dnnl_out_of_memory:
    return qk_oom ("onednn: %s", kind);
  case dnnl_unimplemented:
    return qk_error (-ENOTSUP,
                     "onednn: %s: not implemented for these shapes "
                     "and types",
                     kind);
  case dnnl_invalid_arguments:
    return qk_error (-ENOTSUP,
                     "onednn: %s: shapes or parameters it does not "
                     "accept",
                     kind);
  default:
    return qk_error (-ENOTSUP, "onednn: %s: status %d", kind, (int) status);
  }
}

static int
image (const struct qk_op *op, dnnl_memory_desc_t *md, int64_t n, int64_t c,
       int64_t h, int64_t w, dnnl_data_type_t type)
{
  const dnnl_dims_t dims = { n, c, h, w };

  TRY (op, dnnl_memory_desc_init_by_tag (md, 4, dims, type, dnnl_nhwc));
  return 0;
}

/* All elements of a batch in two dimensions. */
static int
flat (const struct onednn_kernel *k, dnnl_memory_desc_t *md,
      dnnl_data_type_t type)
{
  const dnnl_dims_t dims = { k->g.batch, k->g.k };

  TRY (&k->op, dnnl_memory_desc_init_by_tag (md, 2, dims, type, dnnl_ab));
  return 0;
}

/* ---- attributes -------------------------------------------------------- */

/* An activation clamp before the zero point Z is added. */
static dnnl_status_t
append_clamp (const struct qk_op *op, dnnl_post_ops_t ops, int32_t z)
{
  const float lo = (float) (op->lo - z), hi = (float) (op->hi - z);

  if (op->lo == 0 && op->hi == 255)
    return dnnl_success; /* what bytes do by themselves */
  if (lo == 0 && op->hi == 255)
    return dnnl_post_ops_append_eltwise (ops, 1.0f, dnnl_eltwise_relu, 0, 0);
  return dnnl_post_ops_append_eltwise (ops, 1.0f, dnnl_eltwise_clip, lo, hi);
}

static dnnl_status_t
set_zero_point (dnnl_primitive_attr_t attr, int arg, int32_t z)
{
  return z == 0 ? dnnl_success
                : dnnl_primitive_attr_set_zero_points (attr, arg, 1, 0, &z);
}

/* Requantization of a layer with weights; the attributes copy the clamp. */
static dnnl_status_t
conv_attributes (const struct onednn_kernel *k, dnnl_primitive_attr_t attr,
                 dnnl_post_ops_t ops, bool src_zero_point)
{
  const struct qk_op *op = &k->op;
  dnnl_status_t s
    = dnnl_primitive_attr_set_output_scales (attr, k->g.k, 2, op->multiplier);

  if (s == dnnl_success && src_zero_point)
    s = set_zero_point (attr, DNNL_ARG_SRC, op->in_q[0].zero_point);
  if (op->out_q.scale == 0 || s != dnnl_success)
    return s;
  s = set_zero_point (attr, DNNL_ARG_DST, op->out_q.zero_point);
  if (s == dnnl_success)
    s = append_clamp (op, ops, op->out_q.zero_point);
  return s == dnnl_success ? dnnl_primitive_attr_set_post_ops (attr, ops) : s;
}

/* a * (sa / s) +- b * (sb / s) + the zero points' part, then the clamp */
static dnnl_status_t
add_attributes (const struct onednn_kernel *k, dnnl_primitive_attr_t attr,
                dnnl_post_ops_t ops)
{
  const struct qk_op *op = &k->op;
  const float a = op->in_q[0].scale / op->out_q.scale;
  const float sign = op->function == QK_SUB ? -1.0f : 1.0f;
  const float b = sign * (op->in_q[1].scale / op->out_q.scale);
  const float rest = (float) op->out_q.zero_point
                     - (float) op->in_q[0].zero_point * a
                     - (float) op->in_q[1].zero_point * b;
  dnnl_status_t s
    = dnnl_primitive_attr_set_scales (attr, DNNL_ARG_SRC_0, 1, 0, &a);

  if (s == dnnl_success)
    s = dnnl_primitive_attr_set_scales (attr, DNNL_ARG_SRC_1, 1, 0, &b);
  if (s == dnnl_success && rest != 0)
    s = dnnl_post_ops_append_eltwise (ops, 1.0f, dnnl_eltwise_linear, 1.0f,
                                      rest);
  if (s == dnnl_success)
    s = append_clamp (op, ops, 0);
  return s == dnnl_success ? dnnl_primitive_attr_set_post_ops (attr, ops) : s;
}

/* ---- primitives -------------------------------------------------------- */

/* The primitive of PD (which it releases), and memories without data for it;
 * those of SRC and DST are the caller's plain ones. */
static int
finish (struct onednn_kernel *k, dnnl_engine_t engine,
        dnnl_primitive_desc_t pd, const dnnl_memory_desc_t *src, int n_src,
        const dnnl_memory_desc_t *dst)
{
  const dnnl_memory_desc_t *room
    = dnnl_primitive_desc_query_md (pd, dnnl_query_scratchpad_md, 0);
  dnnl_status_t s = dnnl_primitive_create (&k->primitive, pd);

  k->scratchpad_bytes = dnnl_memory_desc_get_size (room);
  for (int i = 0; i < n_src && s == dnnl_success; i++)
    s = dnnl_memory_create (&k->src[i], &src[i], engine, DNNL_MEMORY_NONE);
  if (s == dnnl_success)
    s = dnnl_memory_create (&k->dst, dst, engine, DNNL_MEMORY_NONE);
  if (s == dnnl_success)
    s = dnnl_memory_create (&k->scratchpad, room, engine, DNNL_MEMORY_NONE);
  dnnl_primitive_desc_destroy (pd);
  return s == dnnl_success ? 0 : onednn_fail (&k->op, s);
}

/* The description of OD with what SET (one of those above) attributes. */
static dnnl_status_t
describe (const struct onednn_kernel *k, dnnl_engine_t engine, const void *od,
          bool src_zero_point, dnnl_primitive_desc_t *pd)
{
  dnnl_primitive_attr_t attr = NULL;
  dnnl_post_ops_t ops = NULL;
  dnnl_status_t s = dnnl_primitive_attr_create (&attr);

  if (s == dnnl_success)
    s = dnnl_primitive_attr_set_scratchpad_mode (attr,
                                                 dnnl_scratchpad_mode_user);
  if (s == dnnl_success)
    s = dnnl_post_ops_create (&ops);
  if (s == dnnl_success && k->op.kind == QK_OP_BINARY)
    s = add_attributes (k, attr, ops);
  else if (s == dnnl_success && k->op.multiplier != NULL)
    s = conv_attributes (k, attr, ops, src_zero_point);
  if (s == dnnl_success)
    s = dnnl_primitive_desc_create (pd, od, attr, engine, NULL);
  dnnl_post_ops_destroy (ops);
  dnnl_primitive_attr_destroy (attr);
  return s;
}

/* Bias, with - z * sum w added where no padding shows: that saves oneDNN
 * the zero point of its source. */
static void
fill_bias (const struct onednn_kernel *k, bool fold, int32_t *bias)
{
  const struct qk_op *op = &k->op;
  const int64_t per
    = (int64_t) op->kernel_h * op->kernel_w * (k->g.c / op->groups);

  for (int64_t n = 0; n < k->g.k; n++) {
    int64_t sum = 0;

    for (int64_t i = 0; fold && i < per; i++)
      sum += op->weight[n * per + i];
    sum = (op->bias != NULL ? op->bias[n] : 0) - sum * op->in_q[0].zero_point;
    bias[n] = (int32_t) (uint32_t) (uint64_t) sum;
  }
}

/* The order of the model's weights, (K,R,S,C/groups), or any. */
static int
weight_desc (const struct onednn_kernel *k, bool any, dnnl_memory_desc_t *md)
{
  const struct qk_op *op = &k->op;
  const int64_t g = op->groups;
  const dnnl_dims_t dims = { k->g.k, k->g.c, op->kernel_h, op->kernel_w };
  const dnnl_dims_t grouped
    = { g, k->g.k / g, k->g.c / g, op->kernel_h, op->kernel_w };
  const dnnl_format_tag_t tag = any     ? dnnl_format_tag_any
                                : g > 1 ? dnnl_gohwi
                                        : dnnl_ohwi;

  TRY (op, dnnl_memory_desc_init_by_tag (
             md, g > 1 ? 5 : 4, g > 1 ? grouped : dims, dnnl_s8, tag));
  return 0;
}

/* Weights in the order oneDNN chose. */
static int
pack_weights (struct onednn_kernel *k, dnnl_engine_t engine,
              dnnl_stream_t stream, const dnnl_memory_desc_t *packed)
{
  dnnl_memory_desc_t plain;
  dnnl_primitive_desc_t pd = NULL;
  dnnl_primitive_t reorder = NULL;
  dnnl_memory_t from = NULL;
  dnnl_status_t s;
  int r = weight_desc (k, false, &plain);

  if (r < 0)
    return r;
  s = dnnl_memory_create (&from, &plain, engine, (void *) k->op.weight);
  if (s == dnnl_success)
    s = dnnl_memory_create (&k->weight, packed, engine, k->arrays);
  if (s == dnnl_success)
    s = dnnl_reorder_primitive_desc_create (&pd, &plain, engine, packed,
                                            engine, NULL);
  if (s == dnnl_success)
    s = dnnl_primitive_create (&reorder, pd);
  if (s == dnnl_success) {
    const dnnl_exec_arg_t args[]
      = { { DNNL_ARG_FROM, from }, { DNNL_ARG_TO, k->weight } };

    s = dnnl_primitive_execute (reorder, stream, 2, args);
  }
  if (s == dnnl_success)
    s = dnnl_stream_wait (stream);
  dnnl_primitive_destroy (reorder);
  dnnl_primitive_desc_destroy (pd);
  dnnl_memory_destroy (from);
  return s == dnnl_success ? 0 : onednn_fail (&k->op, s);
}

static int
build_conv2d (struct onednn_kernel *k, dnnl_engine_t engine,
              dnnl_stream_t stream)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const bool padded
    = (op->pad_top | op->pad_left | op->pad_bottom | op->pad_right) != 0;
  const dnnl_dims_t strides = { op->stride_h, op->stride_w };
  const dnnl_dims_t dilates = { op->dilation_h - 1, op->dilation_w - 1 };
  const dnnl_dims_t before = { op->pad_top, op->pad_left };
  const dnnl_dims_t after = { op->pad_bottom, op->pad_right };
  const dnnl_dims_t channels = { g->k };
  dnnl_memory_desc_t src, weight, bias, dst;
  const dnnl_memory_desc_t *packed;
  dnnl_convolution_desc_t od;
  dnnl_primitive_desc_t pd;
  size_t bytes;
  int r;

  if ((r = image (op, &src, g->batch, g->c, g->h, g->w, dnnl_u8)) < 0
      || (r = image (op, &dst, g->batch, g->k, g->p, g->q,
                     op->out_q.scale == 0 ? dnnl_f32 : dnnl_u8))
           < 0
      || (r = weight_desc (k, true, &weight)) < 0)
    return r;
  TRY (op,
       dnnl_memory_desc_init_by_tag (&bias, 1, channels, dnnl_s32, dnnl_a));
  TRY (op, dnnl_dilated_convolution_forward_desc_init (
             &od, dnnl_forward_inference, dnnl_convolution_direct, &src,
             &weight, &bias, &dst, strides, dilates, before, after));
  TRY (op, describe (k, engine, &od, padded, &pd));

  packed = dnnl_primitive_desc_query_md (pd, dnnl_query_weights_md, 0);
  bytes = (dnnl_memory_desc_get_size (packed) + 63) / 64 * 64;
  k->arrays = qk_alloc (bytes + (size_t) g->k * sizeof (int32_t));
  if (k->arrays == NULL) {
    dnnl_primitive_desc_destroy (pd);
    return qk_oom ("onednn: packed weights");
  }
  fill_bias (k, !padded, (void *) ((uint8_t *) k->arrays + bytes));
  r = pack_weights (k, engine, stream, packed);
  if (r < 0) {
    dnnl_primitive_desc_destroy (pd);
    return r;
  }
  r = finish (k, engine, pd, &src, 1, &dst);
  if (r < 0)
    return r;
  TRY (op, dnnl_memory_create (&k->bias, &bias, engine,
                               (uint8_t *) k->arrays + bytes));
  return 0;
}

static int
build_add (struct onednn_kernel *k, dnnl_engine_t engine)
{
  dnnl_memory_desc_t src[2], dst;
  dnnl_binary_desc_t od;
  dnnl_primitive_desc_t pd;
  int r;

  if ((r = flat (k, &dst, dnnl_u8)) < 0)
    return r;
  src[0] = src[1] = dst;
  TRY (&k->op,
       dnnl_binary_desc_init (&od, dnnl_binary_add, &src[0], &src[1], &dst));
  TRY (&k->op, describe (k, engine, &od, false, &pd));
  return finish (k, engine, pd, src, 2, &dst);
}

/* oneDNN counts padding as zeros and has no other clamp than that of bytes;
 * ceil mode is padding that nobody counts. */
static int
build_pool (struct onednn_kernel *k, dnnl_engine_t engine)
{
  const struct qk_op *op = &k->op;
  const struct int8op_geometry *g = &k->g;
  const dnnl_dims_t strides = { op->stride_h, op->stride_w };
  const dnnl_dims_t window = { op->kernel_h, op->kernel_w };
  const dnnl_dims_t before = { op->pad_top, op->pad_left };
  const dnnl_dims_t after
    = { (g->p - 1) * op->stride_h + op->kernel_h - g->h - op->pad_top,
        (g->q - 1) * op->stride_w + op->kernel_w - g->w - op->pad_left };
  const bool padded
    = (before[0] | before[1]) != 0 || after[0] > 0 || after[1] > 0;
  dnnl_memory_desc_t src, dst;
  dnnl_pooling_desc_t od;
  dnnl_primitive_desc_t pd;
  int r;

  if (op->dilation_h != 1 || op->dilation_w != 1)
    return qk_error (-ENOTSUP, "onednn: pooling with dilation");
  if (op->kind == QK_OP_AVGPOOL2D && op->count_pad && padded)
    return qk_error (-ENOTSUP, "onednn: averages that count padding");
  if (op->lo > op->in_q[0].qmin || op->hi < op->in_q[0].qmax)
    return qk_error (-ENOTSUP, "onednn: pooling with an activation");
  if ((r = image (op, &src, g->batch, g->c, g->h, g->w, dnnl_u8)) < 0
      || (r = image (op, &dst, g->batch, g->c, g->p, g->q, dnnl_u8)) < 0)
    return r;
  TRY (op, dnnl_pooling_forward_desc_init (
             &od, dnnl_forward_inference,
             op->kind == QK_OP_MAXPOOL2D ? dnnl_pooling_max
                                         : dnnl_pooling_avg_exclude_padding,
             &src, &dst, strides, window, before, after));
  TRY (op, describe (k, engine, &od, false, &pd));
  return finish (k, engine, pd, &src, 1, &dst);
}

/* f32 -> u8 and u8 -> f32 */
static int
build_reorder (struct onednn_kernel *k, dnnl_engine_t engine)
{
  const struct qk_op *op = &k->op;
  const bool back = op->kind == QK_OP_DEQUANTIZE;
  const struct qk_qparams *q = back ? &op->in_q[0] : &op->out_q;
  const float scale = back ? q->scale : 1.0f / q->scale;
  dnnl_memory_desc_t src, dst;
  dnnl_primitive_attr_t attr = NULL;
  dnnl_primitive_desc_t pd;
  dnnl_status_t s;
  int r;

  if (!back && (op->lo != 0 || op->hi != 255))
    return qk_error (-ENOTSUP, "onednn: quantize to %d..%d, it has 0..255",
                     (int) op->lo, (int) op->hi);
  if ((r = flat (k, &src, back ? dnnl_u8 : dnnl_f32)) < 0
      || (r = flat (k, &dst, back ? dnnl_f32 : dnnl_u8)) < 0)
    return r;
  TRY (op, dnnl_primitive_attr_create (&attr));
  s = dnnl_primitive_attr_set_output_scales (attr, 1, 0, &scale);
  if (s == dnnl_success)
    s = set_zero_point (attr, back ? DNNL_ARG_SRC : DNNL_ARG_DST,
                        q->zero_point);
  if (s == dnnl_success)
    s = dnnl_primitive_attr_set_scratchpad_mode (attr,
                                                 dnnl_scratchpad_mode_user);
  if (s == dnnl_success)
    s = dnnl_reorder_primitive_desc_create (&pd, &src, engine, &dst, engine,
                                            attr);
  dnnl_primitive_attr_destroy (attr);
  if (s != dnnl_success)
    return onednn_fail (op, s);
  return finish (k, engine, pd, &src, 1, &dst);
}

int
onednn_build (struct onednn_kernel *k, dnnl_engine_t engine,
              dnnl_stream_t stream)
{
  switch (k->op.kind) {
  case QK_OP_CONV2D:
  case QK_OP_LINEAR:
    return build_conv2d (k, engine, stream);
  case QK_OP_BINARY:
    return build_add (k, engine);
  case QK_OP_MAXPOOL2D:
  case QK_OP_AVGPOOL2D:
    return build_pool (k, engine);
  case QK_OP_QUANTIZE:
  case QK_OP_DEQUANTIZE:
    return build_reorder (k, engine);
  case QK_OP_RESHAPE:
    return 0;
  default:
    return qk_error (
      -ENOTSUP, "onednn: does not support %s with another scale or zero point",
      qk_op_kind_name (k->op.kind));
  }
}
