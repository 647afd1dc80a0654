/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* op-table.c: the int8 operations, a row each.  Whoever adds one adds a row
 * here, its formula in numeric.h, its function in the reference backend and
 * its random cases in tests/kernels/case.c. */
#include "config.h"

#include <limits.h>

#include "base/bits.h"
#include "graph/op-priv.h"

/* ---- fields of model files --------------------------------------------- */

#define MAX_CHANNELS ((int64_t) 1 << 24)

#define INT(member)                                                           \
  {                                                                           \
#member, QK_KEPT_INT, offsetof(struct qk_op, member), INT_MAX             \
  }
#define COUNT(member)                                                         \
  {                                                                           \
#member, QK_KEPT_INT64, offsetof(struct qk_op, member), MAX_CHANNELS      \
  }
#define END                                                                   \
  {                                                                           \
    NULL, QK_KEPT_INT, 0, 0                                                   \
  }

static const struct qk_op_field bounds[] = { INT (lo), INT (hi), END };

static const struct qk_op_field window[] = { INT (kernel_h),
                                             INT (kernel_w),
                                             INT (stride_h),
                                             INT (stride_w),
                                             INT (pad_top),
                                             INT (pad_left),
                                             INT (pad_bottom),
                                             INT (pad_right),
                                             INT (dilation_h),
                                             INT (dilation_w),
                                             END };

static const struct qk_op_field channels[]
  = { COUNT (in_channels), COUNT (out_channels), COUNT (weight_scales), END };

#define BOOL(member)                                                          \
  {                                                                           \
#member, QK_KEPT_BOOL, offsetof(struct qk_op, member), 1                  \
  }
#define FLOAT(member)                                                         \
  {                                                                           \
#member, QK_KEPT_FLOAT, offsetof(struct qk_op, member), 0                 \
  }

static const struct qk_op_field product[]
  = { BOOL (transpose_a), BOOL (transpose_b), FLOAT (factor), END };

static const struct qk_op_field statistics[]
  = { BOOL (per_sample), BOOL (centered), FLOAT (eps), COUNT (in_channels),
      END };

static const struct qk_op_field response[]
  = { INT (size), FLOAT (alpha), FLOAT (power), FLOAT (offset), END };

static const struct qk_op_field groups[] = { INT (groups), END };

static const struct qk_op_field function[] = { INT (function), END };

static const struct qk_op_field axis[] = { INT (axis), END };

static const struct qk_op_field axes[] = { INT (axes), END };

static const struct qk_op_field places[] = { COUNT (places), INT (fill), END };
static const struct qk_op_field along[] = { INT (along), END };

static const struct qk_op_field out_channels[] = { COUNT (out_channels), END };

static const struct qk_op_field taps[] = { COUNT (places), INT (taps), END };

static const struct qk_op_field count_pad[]
  = { { "count_pad", QK_KEPT_BOOL, offsetof (struct qk_op, count_pad), 1 },
      END };

/* ---- arrays ------------------------------------------------------------ */

static void
shape_of_kernel (const struct qk_op *op, struct qk_shape *out)
{
  *out = (struct qk_shape){ 4,
                            { op->out_channels, op->kernel_h, op->kernel_w,
                              op->in_channels
                                / (op->groups > 0 ? op->groups : 1) } };
}

static void
shape_of_matrix (const struct qk_op *op, struct qk_shape *out)
{
  *out = (struct qk_shape){ 2, { op->out_channels, op->in_channels } };
}

static void
shape_of_channels (const struct qk_op *op, struct qk_shape *out)
{
  *out = (struct qk_shape){ 1, { op->out_channels } };
}

static void
shape_of_inputs (const struct qk_op *op, struct qk_shape *out)
{
  *out = (struct qk_shape){ 1, { op->in_channels } };
}

static void
shape_of_scales (const struct qk_op *op, struct qk_shape *out)
{
  *out = (struct qk_shape){ 1, { op->weight_scales } };
}

static void
shape_of_bytes (const struct qk_op *op, struct qk_shape *out)
{
  (void) op;
  *out = (struct qk_shape){ 1, { 256 } };
}

static void
shape_of_order (const struct qk_op *op, struct qk_shape *out)
{
  *out = (struct qk_shape){ 2, { op->axes, 2 } };
}

static void
shape_of_places (const struct qk_op *op, struct qk_shape *out)
{
  *out = (struct qk_shape){ 1, { op->places } };
}

#define ARRAY(name, member, dtype, shape)                                     \
  {                                                                           \
    name, dtype, offsetof (struct qk_op, member), shape                       \
  }
#define WEIGHTED(shape)                                                       \
  {                                                                           \
    ARRAY ("weight", weight, QK_I8, shape),                                   \
      ARRAY ("bias", bias, QK_I32, shape_of_channels),                        \
      ARRAY ("multiplier", multiplier, QK_F32, shape_of_channels),            \
      ARRAY ("weight_scale", weight_scale, QK_F32, shape_of_scales),          \
      ARRAY (NULL, weight, QK_NONE, NULL)                                     \
  }

static const struct qk_op_array conv2d_arrays[] = WEIGHTED (shape_of_kernel);
static const struct qk_op_array linear_arrays[] = WEIGHTED (shape_of_matrix);
static const struct qk_op_array dynamic_arrays[]
  = { ARRAY ("weight", weight, QK_I8, shape_of_matrix),
      ARRAY ("bias", real_bias, QK_F32, shape_of_channels),
      ARRAY ("multiplier", multiplier, QK_F32, shape_of_channels),
      ARRAY (NULL, weight, QK_NONE, NULL) };
static const struct qk_op_array table_arrays[]
  = { ARRAY ("table", table, QK_U8, shape_of_bytes),
      ARRAY (NULL, table, QK_NONE, NULL) };
static const struct qk_op_array norm_arrays[]
  = { ARRAY ("gamma", gamma, QK_F32, shape_of_inputs),
      ARRAY ("beta", beta, QK_F32, shape_of_inputs),
      ARRAY (NULL, gamma, QK_NONE, NULL) };

static const struct qk_op_array order_arrays[]
  = { ARRAY ("order", order, QK_I32, shape_of_order),
      ARRAY (NULL, order, QK_NONE, NULL) };
static const struct qk_op_array place_arrays[]
  = { ARRAY ("place", place, QK_I32, shape_of_places),
      ARRAY (NULL, place, QK_NONE, NULL) };
static const struct qk_op_array prelu_arrays[]
  = { ARRAY ("multiplier", multiplier, QK_F32, shape_of_channels),
      ARRAY (NULL, multiplier, QK_NONE, NULL) };

static const struct qk_op_array tap_arrays[]
  = { ARRAY ("place", place, QK_I32, shape_of_places),
      ARRAY ("share", share, QK_F32, shape_of_places),
      ARRAY (NULL, place, QK_NONE, NULL) };

/* ---- multiply-accumulates ---------------------------------------------- */

static int64_t
macs_of_conv2d (const struct qk_op *op, const struct qk_shape *in,
                const struct qk_shape *out)
{
  int64_t pixels = 1;

  (void) in;
  for (int i = 1; i < out->ndim - 1; i++)
    pixels *= out->dims[i];
  return pixels * qk_op_weight_count (op);
}

static int64_t
macs_of_linear (const struct qk_op *op, const struct qk_shape *in,
                const struct qk_shape *out)
{
  (void) in;
  return qk_shape_count (out) / out->dims[0] * op->in_channels;
}

/* Columns of each row, then rows. */
static int64_t
macs_of_resize (const struct qk_op *op, const struct qk_shape *in,
                const struct qk_shape *out)
{
  const int64_t rows = out->ndim == 4 ? op->taps : 1;

  (void) in;
  return qk_shape_count (out) / out->dims[0] * rows * (op->taps + 1);
}

/* Those of the inputs that outputs come from: output padding adds none. */
static int64_t
macs_of_transposed (const struct qk_op *op, const struct qk_shape *in,
                    const struct qk_shape *out)
{
  const int64_t h = (out->dims[1] + op->pad_top + op->pad_bottom - 1
                     - (int64_t) op->dilation_h * (op->kernel_h - 1))
                      / op->stride_h
                    + 1;
  const int64_t w = (out->dims[2] + op->pad_left + op->pad_right - 1
                     - (int64_t) op->dilation_w * (op->kernel_w - 1))
                      / op->stride_w
                    + 1;

  (void) in;
  return h * w * qk_op_weight_count (op);
}

static int64_t
macs_of_matmul (const struct qk_op *op, const struct qk_shape *in,
                const struct qk_shape *out)
{
  return qk_shape_count (out) / out->dims[0]
         * in->dims[in->ndim - (op->transpose_a ? 2 : 1)];
}

/* ---- the table --------------------------------------------------------- */

static const struct qk_op_row rows[QK_OP_KINDS] = {
  [QK_OP_CONV2D] = { .name = "conv2d",
                     .least = 1,
                     .most = 1,
                     .flags = QK_OPF_WEIGHTED | QK_OPF_WINDOW | QK_OPF_WIDE,
                     .field = { bounds, window, groups, channels },
                     .array = conv2d_arrays,
                     .check = qk_op_check_conv2d,
                     .numbers = qk_op_numbers_weighted,
                     .macs = macs_of_conv2d },
  [QK_OP_LINEAR] = { .name = "linear",
                     .least = 1,
                     .most = 1,
                     .flags = QK_OPF_WEIGHTED | QK_OPF_WIDE,
                     .field = { bounds, channels },
                     .array = linear_arrays,
                     .check = qk_op_check_linear,
                     .numbers = qk_op_numbers_weighted,
                     .macs = macs_of_linear },
  [QK_OP_BINARY] = { .name = "binary",
                     .least = 2,
                     .most = 2,
                     .flags = QK_OPF_WIDE,
                     .field = { bounds, function },
                     .check = qk_op_check_binary },
  [QK_OP_CONCAT] = { .name = "concat",
                     .least = 1,
                     .most = QK_OP_MAX_INPUTS,
                     .flags = QK_OPF_WIDE,
                     .field = { bounds, axis },
                     .check = qk_op_check_concat },
  [QK_OP_MAXPOOL2D]
  = { .name = "maxpool2d",
      .least = 1,
      .most = 1,
      .flags = QK_OPF_WINDOW | QK_OPF_POOL | QK_OPF_SAME_GRID | QK_OPF_WIDE,
      .field = { bounds, window },
      .check = qk_op_check_pool },
  [QK_OP_AVGPOOL2D]
  = { .name = "avgpool2d",
      .least = 1,
      .most = 1,
      .flags = QK_OPF_WINDOW | QK_OPF_POOL | QK_OPF_SAME_GRID,
      .field = { bounds, window, count_pad },
      .check = qk_op_check_pool,
      .numbers = qk_op_numbers_pool },
  [QK_OP_CLAMP] = { .name = "clamp",
                    .least = 1,
                    .most = 1,
                    .flags = QK_OPF_SAME_GRID | QK_OPF_WIDE,
                    .field = { bounds },
                    .check = qk_op_check_each },
  [QK_OP_RESHAPE] = { .name = "reshape",
                      .least = 1,
                      .most = 1,
                      .flags = QK_OPF_NO_GRIDS | QK_OPF_WIDE,
                      .field = { bounds },
                      .check = qk_op_check_reshape },
  [QK_OP_QUANTIZE] = { .name = "quantize",
                       .least = 1,
                       .most = 1,
                       .flags = QK_OPF_REAL_IN | QK_OPF_AROUND | QK_OPF_WIDE,
                       .field = { bounds },
                       .check = qk_op_check_each },
  [QK_OP_DEQUANTIZE]
  = { .name = "dequantize",
      .least = 1,
      .most = 1,
      .flags = QK_OPF_REAL_OUT | QK_OPF_AROUND | QK_OPF_WIDE,
      .field = { bounds },
      .check = qk_op_check_each },
  [QK_OP_REQUANTIZE] = { .name = "requantize",
                         .least = 1,
                         .most = 1,
                         .flags = QK_OPF_WIDE,
                         .field = { bounds },
                         .check = qk_op_check_each },
  [QK_OP_LINEAR_DYNAMIC]
  = { .name = "linear_dynamic",
      .least = 1,
      .most = 1,
      .flags = QK_OPF_WEIGHTED | QK_OPF_REAL_IN | QK_OPF_REAL_OUT,
      .field = { bounds, channels },
      .array = dynamic_arrays,
      .check = qk_op_check_linear,
      .numbers = qk_op_numbers_dynamic,
      .macs = macs_of_linear },
  [QK_OP_TABLE] = { .name = "table",
                    .least = 1,
                    .most = 1,
                    .field = { bounds },
                    .array = table_arrays,
                    .check = qk_op_check_table,
                    .numbers = qk_op_numbers_table },
  [QK_OP_TRANSPOSE] = { .name = "transpose",
                        .least = 1,
                        .most = 1,
                        .flags = QK_OPF_SAME_GRID | QK_OPF_WIDE,
                        .field = { bounds, axes },
                        .array = order_arrays,
                        .check = qk_op_check_transpose },
  [QK_OP_GATHER] = { .name = "gather",
                     .least = 1,
                     .most = 1,
                     .flags = QK_OPF_SAME_GRID | QK_OPF_WIDE,
                     .field = { bounds, places },
                     .array = place_arrays,
                     .check = qk_op_check_gather },
  [QK_OP_RESIZE] = { .name = "resize",
                     .least = 1,
                     .most = 1,
                     .flags = QK_OPF_SAME_GRID,
                     .field = { bounds, taps },
                     .array = tap_arrays,
                     .check = qk_op_check_resize,
                     .numbers = qk_op_numbers_resize,
                     .macs = macs_of_resize },
  [QK_OP_PRELU] = { .name = "prelu",
                    .least = 1,
                    .most = 1,
                    .field = { bounds, out_channels },
                    .array = prelu_arrays,
                    .check = qk_op_check_prelu,
                    .numbers = qk_op_numbers_prelu },
  [QK_OP_REDUCE] = { .name = "reduce",
                     .least = 1,
                     .most = 1,
                     .field = { bounds, function, along },
                     .check = qk_op_check_reduce },
  [QK_OP_CONV_TRANSPOSE2D] = { .name = "conv_transpose2d",
                               .least = 1,
                               .most = 1,
                               .flags = QK_OPF_WEIGHTED,
                               .field = { bounds, window, groups, channels },
                               .array = conv2d_arrays,
                               .check = qk_op_check_transposed,
                               .numbers = qk_op_numbers_weighted,
                               .macs = macs_of_transposed },
  [QK_OP_MATMUL] = { .name = "matmul",
                     .least = 2,
                     .most = 2,
                     .field = { bounds, product },
                     .check = qk_op_check_matmul,
                     .numbers = qk_op_numbers_matmul,
                     .macs = macs_of_matmul },
  [QK_OP_SOFTMAX] = { .name = "softmax",
                      .least = 1,
                      .most = 1,
                      .flags = QK_OPF_REAL_TOO,
                      .field = { bounds, function, axis },
                      .check = qk_op_check_softmax },
  [QK_OP_NORM] = { .name = "norm",
                   .least = 1,
                   .most = 1,
                   .field = { bounds, groups, statistics },
                   .array = norm_arrays,
                   .check = qk_op_check_norm,
                   .numbers = qk_op_numbers_norm },
  [QK_OP_LRN] = { .name = "lrn",
                  .least = 1,
                  .most = 1,
                  .field = { bounds, response },
                  .check = qk_op_check_lrn,
                  .numbers = qk_op_numbers_lrn },
};

const struct qk_op_row *
qk_op_row (enum qk_op_kind kind)
{
  return &rows[(int) kind > 0 && (int) kind < QK_OP_KINDS ? (int) kind : 0];
}

const char *
qk_op_kind_name (enum qk_op_kind kind)
{
  return qk_op_row (kind)->name;
}

enum qk_op_kind
qk_op_kind_find (const char *name)
{
  int k;

  for (k = 1; k < QK_OP_KINDS; k++)
    if (strcmp (rows[k].name, name) == 0)
      return (enum qk_op_kind) k;
  return (enum qk_op_kind) 0;
}

const char *
qk_op_label (const struct qk_op *op)
{
  const char *name = op->kind == QK_OP_BINARY ? qk_function_name (op->function)
                     : op->kind == QK_OP_REDUCE
                       ? qk_reduction_name (op->function)
                       : qk_op_kind_name (op->kind);

  return name != NULL ? name : "unknown";
}

/* ---- what follows from it ---------------------------------------------- */

int64_t
qk_op_weight_count (const struct qk_op *op)
{
  const struct qk_op_row *row = qk_op_row (op->kind);
  struct qk_shape s;

  if (!(row->flags & QK_OPF_WEIGHTED))
    return 0;
  row->array[0].shape (op, &s);
  return qk_shape_count (&s);
}

int64_t
qk_op_bytes (const struct qk_op *op)
{
  const struct qk_op_array *a = qk_op_row (op->kind)->array;
  struct qk_shape s;
  int64_t sum = 0;

  for (; a != NULL && a->name != NULL; a++) {
    const void *data
      = *(const void *const *) (const void *) ((const char *) op + a->offset);
    int64_t count;

    a->shape (op, &s);
    count = qk_shape_count (&s);
    sum += a->dtype == QK_I8 && data != NULL
             ? qk_bits_bytes (count, qk_bits_of (data, count))
             : count * (int64_t) qk_dtype_size (a->dtype);
  }
  return sum;
}

int64_t
qk_op_macs (const struct qk_op *op, const struct qk_shape *in,
            const struct qk_shape *out)
{
  const struct qk_op_row *row = qk_op_row (op->kind);

  return row->macs == NULL ? 0 : row->macs (op, in, out);
}

static int64_t
smaller (int64_t a, int64_t b)
{
  return a < b ? a : b;
}

int64_t
qk_op_work (const struct qk_op *op, const struct qk_shape *in,
            const struct qk_shape *out)
{
  if (op->kind == QK_OP_REDUCE)
    return qk_shape_count (in);
  if (!(qk_op_row (op->kind)->flags & QK_OPF_POOL) || in->ndim != 4)
    return qk_op_macs (op, in, out);
  return qk_shape_count (out) * smaller (op->kernel_h, in->dims[1])
         * smaller (op->kernel_w, in->dims[2]);
}

const void **
qk_op_array_at (struct qk_op *op, const struct qk_op_array *array)
{
  return (const void **) (void *) ((char *) op + array->offset);
}

void
qk_op_free_arrays (struct qk_op *op)
{
  const struct qk_op_array *a = qk_op_row (op->kind)->array;

  for (; a != NULL && a->name != NULL; a++) {
    const void **at = qk_op_array_at (op, a);

    qk_free ((void *) *at);
    *at = NULL;
  }
}
