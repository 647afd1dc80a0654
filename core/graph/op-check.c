/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* op-check.c: the one check of int8 operations, for layers that make them,
 * files that bring them and backends that run them. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op-priv.h"

#define MAX_DIM ((int64_t) 1 << 30)
#define MAX_COUNT ((int64_t) 1 << 40)
#define MAX_WINDOW 4096

/* The largest integer of the type that the grid Q of OP has. */
static int
largest (const struct qk_op *op, const struct qk_qparams *q)
{
  const bool wide = (qk_op_row (op->kind)->flags & QK_OPF_WIDE) != 0;

  return wide ? qk_grid_most (q) : QK_U8_MAX;
}

/* ---- shapes ------------------------------------------------------------ */

/* The output is not what the inputs give. */
static int
other_shape (const struct qk_op *op, const struct qk_shape *found,
             const struct qk_shape *want)
{
  char a[96], b[96];

  return qk_error (-EINVAL, "%s: output is %s, expected %s", qk_op_named (op),
                   qk_shape_print (found, a, sizeof a),
                   qk_shape_print (want, b, sizeof b));
}

static int
check_shape (const struct qk_op *op, const char *what,
             const struct qk_shape *s)
{
  int64_t count = 1;

  if (s->ndim < 1 || s->ndim > QK_MAX_DIMS)
    return qk_error (-EINVAL, "%s: %s has %d dimensions, expected 1 to %d",
                     qk_op_named (op), what, s->ndim, QK_MAX_DIMS);
  for (int i = 0; i < s->ndim; i++) {
    if (s->dims[i] < 1 || s->dims[i] > MAX_DIM)
      return qk_error (-EINVAL,
                       "%s: dimension %d of %s is %lld, expected 1 to %lld",
                       qk_op_named (op), i, what, (long long) s->dims[i],
                       (long long) MAX_DIM);
    count *= s->dims[i]; /* at most 2^70 before the test below stops it */
    if (count > MAX_COUNT)
      return qk_error (-EINVAL, "%s: %s has more than 2^40 elements",
                       qk_op_named (op), what);
  }
  return 0;
}

static int
check_window (const struct qk_op *op)
{
  const struct {
    const char *what;
    int value, min, max;
  } rows[] = {
    { "kernel height", op->kernel_h, 1, MAX_WINDOW },
    { "kernel width", op->kernel_w, 1, MAX_WINDOW },
    { "vertical stride", op->stride_h, 1, 1 << 20 },
    { "horizontal stride", op->stride_w, 1, 1 << 20 },
    { "top padding", op->pad_top, 0, 1 << 20 },
    { "left padding", op->pad_left, 0, 1 << 20 },
    { "bottom padding", op->pad_bottom, 0, 1 << 20 },
    { "right padding", op->pad_right, 0, 1 << 20 },
    { "vertical dilation", op->dilation_h, 1, 1 << 16 },
    { "horizontal dilation", op->dilation_w, 1, 1 << 16 },
  };

  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    if (rows[i].value < rows[i].min || rows[i].value > rows[i].max)
      return qk_error (-EINVAL, "%s: %s is %d, expected %d to %d",
                       qk_op_named (op), rows[i].what, rows[i].value,
                       rows[i].min, rows[i].max);
  return 0;
}

/* Whether one of the taps at START, START + DILATION, … lies in 0..SIZE-1. */
static bool
touches (int64_t start, int kernel, int dilation, int64_t size)
{
  const int64_t first = start < 0 ? (-start + dilation - 1) / dilation : 0;

  return first < kernel && start + first * dilation < size;
}

/* A direction of a window. */
struct axis {
  const char *name;
  int64_t size, out;
  int kernel, stride, before, after, dilation;
};

/* The output's size must be what the window gives; pooling may have one more
 * where the last step is not a whole one (ceil mode), and each of its windows
 * must touch the sample. */
static int
check_axis (const struct qk_op *op, const struct axis *a)
{
  const bool pool = (qk_op_row (op->kind)->flags & QK_OPF_POOL) != 0;
  const int64_t reach = (int64_t) a->dilation * (a->kernel - 1) + 1;
  const int64_t room = a->size + a->before + a->after - reach;
  const int64_t want = room < 0 ? 0 : room / a->stride + 1;
  const bool ceil = pool && room >= 0 && room % a->stride != 0;

  if (a->out != want && !(ceil && a->out == want + 1))
    return qk_error (-EINVAL, "%s: output %s is %lld, expected %lld",
                     qk_op_named (op), a->name, (long long) a->out,
                     (long long) want);
  for (int64_t i = 0; pool && i < a->out; i++)
    if (!touches (i * a->stride - a->before, a->kernel, a->dilation, a->size))
      return qk_error (-EINVAL,
                       "%s: pooling window %lld lies outside the sample (%s "
                       "%lld, padding %d and %d)",
                       qk_op_named (op), (long long) i, a->name,
                       (long long) a->size, a->before, a->after);
  return 0;
}

/* A convolution of each row of channels by itself, in tensors of any rank. */
static bool
is_single_tap (const struct qk_op *op)
{
  return op->kind == QK_OP_CONV2D && op->kernel_h == 1 && op->kernel_w == 1
         && op->stride_h == 1 && op->stride_w == 1 && op->pad_top == 0
         && op->pad_left == 0 && op->pad_bottom == 0 && op->pad_right == 0;
}

/* Such a one: only the channels may differ. */
static int
check_rows (const struct qk_op *op, const struct qk_shape *in,
            const struct qk_shape *out)
{
  struct qk_shape s = *in;
  char a[96], b[96];

  s.dims[s.ndim - 1] = out->dims[out->ndim - 1];
  if (in->ndim < 2 || !qk_shape_equal (&s, out))
    return qk_error (-EINVAL,
                     "%s: input %s and output %s differ in more than "
                     "channels",
                     qk_op_named (op), qk_shape_print (in, a, sizeof a),
                     qk_shape_print (out, b, sizeof b));
  return check_window (op);
}

static int
check_spatial (const struct qk_op *op, const struct qk_shape *in,
               const struct qk_shape *out)
{
  const bool single = out->ndim == 2;
  const struct axis h
    = { "height",       in->dims[1],   single ? 1 : out->dims[1],
        op->kernel_h,   op->stride_h,  op->pad_top,
        op->pad_bottom, op->dilation_h };
  const struct axis w
    = { "width",       in->dims[2],   single ? 1 : out->dims[2],
        op->kernel_w,  op->stride_w,  op->pad_left,
        op->pad_right, op->dilation_w };
  int r;

  if (in->ndim != 4 || (out->ndim != 4 && out->ndim != 2))
    return qk_error (-EINVAL,
                     "%s: input and output have %d and %d dimensions, "
                     "expected 4 (or 2 for a single window)",
                     qk_op_named (op), in->ndim, out->ndim);
  if ((r = check_window (op)) < 0 || (r = check_axis (op, &h)) < 0)
    return r;
  return check_axis (op, &w);
}

int
qk_op_check_pool (const struct qk_op *op, const struct qk_shape *in,
                  const struct qk_shape *out)
{
  const int r = check_spatial (op, in, out);

  if (r < 0)
    return r;
  if (out->dims[out->ndim - 1] != in->dims[3])
    return qk_error (-EINVAL, "%s: output has %lld channels, expected %lld",
                     qk_op_named (op), (long long) out->dims[out->ndim - 1],
                     (long long) in->dims[3]);
  return 0;
}

static int
check_channels (const struct qk_op *op, const struct qk_shape *in,
                const struct qk_shape *out)
{
  const int64_t c = in->dims[in->ndim - 1], k = out->dims[out->ndim - 1];
  const bool dynamic = op->kind == QK_OP_LINEAR_DYNAMIC;

  if (op->in_channels != c || op->out_channels != k)
    return qk_error (-EINVAL,
                     "%s: weight is for %lld to %lld channels, the tensors "
                     "have %lld and %lld",
                     qk_op_named (op), (long long) op->in_channels,
                     (long long) op->out_channels, (long long) c,
                     (long long) k);
  if (op->weight == NULL || op->multiplier == NULL
      || (dynamic && op->real_bias == NULL))
    return qk_error (-EINVAL, "%s: no %s given", qk_op_named (op),
                     op->weight == NULL       ? "weight"
                     : op->multiplier == NULL ? "multiplier"
                                              : "bias");
  if (op->weight_scale != NULL && op->weight_scales != 1
      && op->weight_scales != k)
    return qk_error (-EINVAL, "%s: %lld scales of weights, expected 1 or %lld",
                     qk_op_named (op), (long long) op->weight_scales,
                     (long long) k);
  return 0;
}

/* Groups and channels of an op whose shapes fit its window. */
static int
check_groups (const struct qk_op *op, const struct qk_shape *in,
              const struct qk_shape *out)
{
  const int64_t k = out->dims[out->ndim - 1], c = in->dims[in->ndim - 1];

  if (op->groups < 1 || c % op->groups != 0 || k % op->groups != 0)
    return qk_error (
      -EINVAL, "%s: %d groups do not divide %lld and %lld channels",
      qk_op_named (op), op->groups, (long long) c, (long long) k);
  if ((int64_t) op->kernel_h * op->kernel_w * (c / op->groups) > MAX_DIM)
    return qk_error (-EINVAL, "%s: a window of %d x %d x %lld is too large",
                     qk_op_named (op), op->kernel_h, op->kernel_w,
                     (long long) (c / op->groups));
  return check_channels (op, in, out);
}

int
qk_op_check_conv2d (const struct qk_op *op, const struct qk_shape *in,
                    const struct qk_shape *out)
{
  const int r = in->ndim != 4 && is_single_tap (op)
                  ? check_rows (op, in, out)
                  : check_spatial (op, in, out);

  return r < 0 ? r : check_groups (op, in, out);
}

/* A direction of a transposed window; the output may have fewer more elements
 * than one step of stride or dilation. */
static int
check_transposed_axis (const struct qk_op *op, const struct axis *a)
{
  const int64_t want = (a->size - 1) * a->stride - a->before - a->after
                       + (int64_t) a->dilation * (a->kernel - 1) + 1;
  const int more = a->stride > a->dilation ? a->stride : a->dilation;

  if (a->out >= want && a->out < want + more)
    return 0;
  return qk_error (-EINVAL, "%s: output %s is %lld, expected %lld to %lld",
                   qk_op_named (op), a->name, (long long) a->out,
                   (long long) want, (long long) (want + more - 1));
}

int
qk_op_check_transposed (const struct qk_op *op, const struct qk_shape *in,
                        const struct qk_shape *out)
{
  const struct axis h
    = { "height",     in->dims[1], out->dims[1],   op->kernel_h,
        op->stride_h, op->pad_top, op->pad_bottom, op->dilation_h };
  const struct axis w
    = { "width",      in->dims[2],  out->dims[2],  op->kernel_w,
        op->stride_w, op->pad_left, op->pad_right, op->dilation_w };
  int r;

  if (in->ndim != 4 || out->ndim != 4)
    return qk_error (-EINVAL,
                     "%s: input and output have %d and %d dimensions, "
                     "expected 4",
                     qk_op_named (op), in->ndim, out->ndim);
  if ((r = check_window (op)) < 0 || (r = check_transposed_axis (op, &h)) < 0
      || (r = check_transposed_axis (op, &w)) < 0)
    return r;
  return check_groups (op, in, out);
}

int
qk_op_check_linear (const struct qk_op *op, const struct qk_shape *in,
                    const struct qk_shape *out)
{
  struct qk_shape want = *in;

  if (in->ndim < 2 || out->ndim < 2)
    return qk_error (-EINVAL,
                     "%s: input and output have %d and %d dimensions, "
                     "expected (N,...,C) and (N,...,K)",
                     qk_op_named (op), in->ndim, out->ndim);
  want.dims[want.ndim - 1] = out->dims[out->ndim - 1];
  if (!qk_shape_equal (&want, out))
    return other_shape (op, out, &want);
  return check_channels (op, in, out);
}

int
qk_op_check_binary (const struct qk_op *op, const struct qk_shape *in,
                    const struct qk_shape *out)
{
  struct qk_shape s;
  int r;

  if (qk_function_name (op->function) == NULL)
    return qk_error (-EINVAL, "%s: unknown function %d of two tensors",
                     qk_op_named (op), op->function);
  if ((r = qk_shape_broadcast (&in[0], &in[1], &s)) < 0)
    return qk_error_prefix (r, "%s: ", qk_op_named (op));
  return qk_shape_equal (&s, out) ? 0 : other_shape (op, out, &s);
}

int
qk_op_check_concat (const struct qk_op *op, const struct qk_shape *in,
                    const struct qk_shape *out)
{
  const int axis = op->axis == 0 ? in[0].ndim - 1 : op->axis;
  struct qk_shape sum = in[0];

  if (axis < 1 || axis >= in[0].ndim)
    return qk_error (-EINVAL,
                     "%s: axis %d of inputs with %d axes, expected 1 "
                     "to %d",
                     qk_op_named (op), axis, in[0].ndim, in[0].ndim - 1);
  for (int i = 1; i < op->n_in; i++) {
    struct qk_shape s = in[i];

    if (s.ndim == in[0].ndim)
      s.dims[axis] = in[0].dims[axis];
    if (!qk_shape_equal (&s, &in[0])) {
      char a[96], b[96];

      return qk_error (-EINVAL,
                       "%s: inputs %s and %s differ in more than axis %d",
                       qk_op_named (op), qk_shape_print (&in[0], a, sizeof a),
                       qk_shape_print (&in[i], b, sizeof b), axis);
    }
    sum.dims[axis] += in[i].dims[axis];
  }
  return qk_shape_equal (&sum, out) ? 0 : other_shape (op, out, &sum);
}

/* The sizes must make up a sample, and each axis be taken once. */
int
qk_op_check_transpose (const struct qk_op *op, const struct qk_shape *in,
                       const struct qk_shape *out)
{
  const int64_t sample = qk_shape_count (in) / in->dims[0];
  int64_t count = 1;
  unsigned taken = 0;

  if (op->axes < 1 || op->axes > QK_MAX_DIMS || op->order == NULL)
    return qk_error (-EINVAL, "%s: order of %d axes, expected 1 to %d",
                     qk_op_named (op), op->order == NULL ? 0 : op->axes,
                     QK_MAX_DIMS);
  for (int i = 0; i < op->axes; i++) {
    const int32_t size = op->order[2 * i], from = op->order[2 * i + 1];

    if (size < 1 || size > sample / count)
      return qk_error (-EINVAL,
                       "%s: axis %d has size %d, expected a divisor of the "
                       "sample's %lld elements",
                       qk_op_named (op), i, size, (long long) sample);
    count *= size;
    if (from < 0 || from >= op->axes || (taken & 1u << from))
      return qk_error (-EINVAL,
                       "%s: axis %d of the result is axis %d, expected each "
                       "of 0 to %d once",
                       qk_op_named (op), i, from, op->axes - 1);
    taken |= 1u << from;
  }
  if (count != sample)
    return qk_error (-EINVAL,
                     "%s: axes of %lld elements, expected the sample's %lld",
                     qk_op_named (op), (long long) count, (long long) sample);
  return qk_op_check_each (op, in, out);
}

int
qk_op_check_gather (const struct qk_op *op, const struct qk_shape *in,
                    const struct qk_shape *out)
{
  const int most = largest (op, &op->in_q[0]);
  int64_t at = 0, all = 0;

  for (int d = 1; d < out->ndim; d++)
    all += out->dims[d];
  if (in->ndim != out->ndim || op->place == NULL || op->places != all)
    return qk_error (-EINVAL,
                     "%s: %lld places for %d axes out of %d, expected %lld "
                     "for %d",
                     qk_op_named (op),
                     (long long) (op->place ? op->places : 0), out->ndim,
                     in->ndim, (long long) all, out->ndim);
  if (op->fill < 0 || op->fill > most)
    return qk_error (-EINVAL, "%s: filled with %d, expected 0 to %d",
                     qk_op_named (op), op->fill, most);
  for (int d = 1; d < out->ndim; d++)
    for (int64_t i = 0; i < out->dims[d]; i++, at++)
      if (op->place[at] < -1 || op->place[at] >= in->dims[d])
        return qk_error (-EINVAL,
                         "%s: place %lld along axis %d is %d, expected -1 to "
                         "%lld",
                         qk_op_named (op), (long long) i, d, op->place[at],
                         (long long) in->dims[d] - 1);
  return 0;
}

/* Bytes are moved as they are. */
int
qk_op_check_reshape (const struct qk_op *op, const struct qk_shape *in,
                     const struct qk_shape *out)
{
  if (qk_grid_is_wide (&op->in_q[0]) != qk_grid_is_wide (&op->out_q))
    return qk_error (-EINVAL,
                     "%s: the output's integers go to %d, expected as many "
                     "bytes as the input's, which go to %d",
                     qk_op_named (op), (int) op->out_q.qmax,
                     (int) op->in_q[0].qmax);
  return qk_op_check_each (op, in, out);
}

int
qk_op_check_each (const struct qk_op *op, const struct qk_shape *in,
                  const struct qk_shape *out)
{
  if (qk_shape_count (in) != qk_shape_count (out))
    return qk_error (-EINVAL, "%s: input has %lld elements, output %lld",
                     qk_op_named (op), (long long) qk_shape_count (in),
                     (long long) qk_shape_count (out));
  return 0;
}

int
qk_op_check_table (const struct qk_op *op, const struct qk_shape *in,
                   const struct qk_shape *out)
{
  if (op->table == NULL)
    return qk_error (-EINVAL, "%s: no table given", qk_op_named (op));
  return qk_op_check_each (op, in, out);
}

int
qk_op_check_resize (const struct qk_op *op, const struct qk_shape *in,
                    const struct qk_shape *out)
{
  const int last = out->ndim - 1;
  int64_t at = 0, all = 0;

  if (in->ndim != out->ndim || last < 2 || last > 3
      || in->dims[last] != out->dims[last]) {
    char a[96], b[96];

    return qk_error (-EINVAL,
                     "%s: from %s to %s, expected (N,H,W,C) or (N,L,C) with "
                     "as many channels",
                     qk_op_named (op), qk_shape_print (in, a, sizeof a),
                     qk_shape_print (out, b, sizeof b));
  }
  for (int d = 1; d < last; d++)
    all += out->dims[d] * op->taps;
  if (op->taps < 1 || op->taps > QK_MAX_TAPS || op->place == NULL
      || op->share == NULL || op->places != all)
    return qk_error (
      -EINVAL, "%s: %lld places of %d taps, expected %lld of 1 to %d",
      qk_op_named (op), (long long) (op->place ? op->places : 0), op->taps,
      (long long) all, QK_MAX_TAPS);
  for (int d = 1; d < last; d++)
    for (int64_t i = 0; i < out->dims[d] * op->taps; i++, at++)
      if (op->place[at] < 0 || op->place[at] >= in->dims[d])
        return qk_error (-EINVAL,
                         "%s: place %lld along axis %d is %d, expected 0 to "
                         "%lld",
                         qk_op_named (op), (long long) i, d, op->place[at],
                         (long long) in->dims[d] - 1);
  return 0;
}

int
qk_op_check_prelu (const struct qk_op *op, const struct qk_shape *in,
                   const struct qk_shape *out)
{
  const int64_t c = in->dims[in->ndim - 1];

  if (op->multiplier == NULL || op->out_channels != c)
    return qk_error (-EINVAL, "%s: %lld multipliers given, expected %lld",
                     qk_op_named (op),
                     op->multiplier == NULL ? 0 : (long long) op->out_channels,
                     (long long) c);
  return qk_shape_equal (in, out) ? 0 : other_shape (op, out, in);
}

/* What IN becomes without the axes, or with KEEP by size 1 along them. */
static void
reduced_shape (const struct qk_op *op, const struct qk_shape *in, bool keep,
               struct qk_shape *out)
{
  memset (out, 0, sizeof *out);
  for (int i = 0; i < in->ndim; i++)
    if ((op->along >> i & 1) == 0)
      out->dims[out->ndim++] = in->dims[i];
    else if (keep)
      out->dims[out->ndim++] = 1;
}

/* The mean, largest and smallest stay on the input's grid. */
static int
check_reduced_grid (const struct qk_op *op)
{
  const struct qk_qparams *a = &op->in_q[0], *b = &op->out_q;

  if (op->function == QK_SUM
      || (a->scale == b->scale && a->zero_point == b->zero_point))
    return 0;
  return qk_error (-EINVAL,
                   "%s: the output's scale and zero point are %g and %d, "
                   "expected the input's, %g and %d",
                   qk_op_named (op), (double) b->scale, (int) b->zero_point,
                   (double) a->scale, (int) a->zero_point);
}

int
qk_op_check_reduce (const struct qk_op *op, const struct qk_shape *in,
                    const struct qk_shape *out)
{
  const int64_t most = op->function == QK_MEAN  ? QK_MOST_MEAN
                       : op->function == QK_SUM ? QK_MOST_SUM
                                                : MAX_COUNT;
  struct qk_shape s;

  if (qk_reduction_name (op->function) == NULL)
    return qk_error (-EINVAL, "%s: unknown function %d along axes",
                     qk_op_named (op), op->function);
  if (op->along < 2 || op->along >= 1 << in->ndim || (op->along & 1) != 0)
    return qk_error (-EINVAL,
                     "%s: axes are the bits of %d, expected some of 1 to %d",
                     qk_op_named (op), op->along, in->ndim - 1);
  reduced_shape (op, in, out->ndim == in->ndim, &s);
  if (!qk_shape_equal (&s, out))
    return other_shape (op, out, &s);
  if (qk_shape_count (in) / qk_shape_count (out) > most)
    return qk_error (-EINVAL,
                     "%s: %lld elements become one, at most %lld are exact",
                     qk_op_named (op),
                     (long long) (qk_shape_count (in) / qk_shape_count (out)),
                     (long long) most);
  return check_reduced_grid (op);
}

int
qk_op_check_matmul (const struct qk_op *op, const struct qk_shape *in,
                    const struct qk_shape *out)
{
  const int64_t k
    = in->dims[in->ndim - (op->transpose_a && in->ndim > 1 ? 2 : 1)];
  struct qk_shape s;
  int r;

  r = qk_shape_matmul (&in[0], &in[1], op->transpose_a, op->transpose_b, &s);
  if (r < 0)
    return qk_error_prefix (r, "%s: ", qk_op_named (op));
  if (k > QK_MATMUL_DEPTH)
    return qk_error (-EINVAL,
                     "%s: sums of %lld products could overflow 32 bits, at "
                     "most %d cannot",
                     qk_op_named (op), (long long) k, QK_MATMUL_DEPTH);
  return qk_shape_equal (&s, out) ? 0 : other_shape (op, out, &s);
}

int
qk_op_check_softmax (const struct qk_op *op, const struct qk_shape *in,
                     const struct qk_shape *out)
{
  if (op->function < 0 || op->function >= QK_SOFTMAXES)
    return qk_error (-EINVAL, "%s: unknown kind of softmax, %d",
                     qk_op_named (op), op->function);
  if (op->axis < 1 || op->axis >= in->ndim)
    return qk_error (-EINVAL, "%s: axis %d of %d dimensions, expected 1 to %d",
                     qk_op_named (op), op->axis, in->ndim, in->ndim - 1);
  return qk_shape_equal (in, out) ? 0 : other_shape (op, out, in);
}

int
qk_op_check_norm (const struct qk_op *op, const struct qk_shape *in,
                  const struct qk_shape *out)
{
  const int64_t c = in->dims[in->ndim - 1];
  int64_t count;

  if (in->ndim < 2 || op->in_channels != c)
    return qk_error (-EINVAL,
                     "%s: %lld channels in %d dimensions, expected %lld in 2 "
                     "or more",
                     qk_op_named (op), (long long) c, in->ndim,
                     (long long) op->in_channels);
  if (op->groups < 1 || c % op->groups != 0
      || (op->groups > 1 && !op->per_sample))
    return qk_error (-EINVAL, "%s: %d groups of %lld channels%s",
                     qk_op_named (op), op->groups, (long long) c,
                     op->per_sample ? "" : ", expected 1 at each place");
  count
    = (op->per_sample ? qk_shape_count (in) / in->dims[0] : c) / op->groups;
  if (count > QK_NORM_COUNT)
    return qk_error (
      -EINVAL, "%s: statistics of %lld elements, at most %lld are exact",
      qk_op_named (op), (long long) count, (long long) QK_NORM_COUNT);
  if (op->gamma == NULL || op->beta == NULL)
    return qk_error (-EINVAL, "%s: no %s given", qk_op_named (op),
                     op->gamma == NULL ? "gamma" : "beta");
  return qk_shape_equal (in, out) ? 0 : other_shape (op, out, in);
}

int
qk_op_check_lrn (const struct qk_op *op, const struct qk_shape *in,
                 const struct qk_shape *out)
{
  if (op->size < 1 || op->size > QK_LRN_SIZE || op->size % 2 == 0)
    return qk_error (-EINVAL,
                     "%s: sums over %d channels, expected an odd number of at "
                     "most %d",
                     qk_op_named (op), op->size, QK_LRN_SIZE);
  if (in->ndim < 2)
    return qk_error (-EINVAL, "%s: %d dimensions, expected 2 or more",
                     qk_op_named (op), in->ndim);
  return qk_shape_equal (in, out) ? 0 : other_shape (op, out, in);
}

/* ---- grids ------------------------------------------------------------- */

static int
check_grid (const struct qk_op *op, const char *what,
            const struct qk_qparams *q)
{
  const int most = largest (op, q);

  if (!(q->scale > 0) || !isfinite (q->scale))
    return qk_error (-EINVAL,
                     "%s: scale of %s is %g, expected a positive finite "
                     "number",
                     qk_op_named (op), what, (double) q->scale);
  if (q->zero_point < 0 || q->zero_point > most)
    return qk_error (-EINVAL, "%s: zero point of %s is %d, expected 0 to %d",
                     qk_op_named (op), what, (int) q->zero_point, most);
  if (q->qmin < 0 || q->qmin > q->qmax || q->qmax > most)
    return qk_error (
      -EINVAL, "%s: range of %s is %d to %d, expected within 0 to %d",
      qk_op_named (op), what, (int) q->qmin, (int) q->qmax, most);
  return 0;
}

/* Whether the output is f32: ops with a weight, and some others, may choose. */
static bool
real_output (const struct qk_op *op)
{
  const unsigned flags = qk_op_row (op->kind)->flags;

  return (flags & QK_OPF_REAL_OUT)
         || ((flags & (QK_OPF_WEIGHTED | QK_OPF_REAL_TOO))
             && op->out_q.scale == 0);
}

static int
check_output (const struct qk_op *op)
{
  const unsigned flags = qk_op_row (op->kind)->flags;
  const struct qk_qparams *a = &op->in_q[0], *b = &op->out_q;
  const int most = largest (op, b);

  if ((flags & QK_OPF_NO_GRIDS)
      || (real_output (op) && op->kind != QK_OP_LINEAR_DYNAMIC))
    return 0;
  if (op->lo < 0 || op->lo > op->hi || op->hi > most)
    return qk_error (-EINVAL,
                     "%s: output bounds are %d to %d, expected within 0 to "
                     "%d",
                     qk_op_named (op), (int) op->lo, (int) op->hi, most);
  if (real_output (op))
    return 0;
  if ((flags & QK_OPF_SAME_GRID)
      && (a->scale != b->scale || a->zero_point != b->zero_point))
    return qk_error (-EINVAL,
                     "%s: the output's scale and zero point are %g and %d, "
                     "expected the input's, %g and %d",
                     qk_op_named (op), (double) b->scale, (int) b->zero_point,
                     (double) a->scale, (int) a->zero_point);
  if ((flags & QK_OPF_SAME_GRID) && qk_grid_is_wide (a) != qk_grid_is_wide (b))
    return qk_error (-EINVAL,
                     "%s: the output's integers go to %d, expected as many "
                     "bytes as the input's, which go to %d",
                     qk_op_named (op), (int) b->qmax, (int) a->qmax);
  return check_grid (op, "the output", b);
}

/* Bytes of an op that has all fields of its KIND. */
static size_t
least_size (enum qk_op_kind kind)
{
  return kind <= QK_OP_TABLE && kind != QK_OP_CONCAT
           ? offsetof (struct qk_op, table) + sizeof (const uint8_t *)
           : sizeof (struct qk_op);
}

int
qk_op_check (const struct qk_op *op, const struct qk_shape *in,
             const struct qk_shape *out)
{
  const struct qk_op_row *row = qk_op_row (op->kind);
  int r;

  if (op->struct_size < least_size (op->kind))
    return qk_error (-EINVAL,
                     "%s: made for a qatkit whose operations have %zu bytes, "
                     "expected %zu or more",
                     qk_op_named (op), op->struct_size, least_size (op->kind));
  if (row->name == NULL)
    return qk_error (-EINVAL, "%s: unknown kind of operation, %d",
                     qk_op_named (op), (int) op->kind);
  if ((r = check_shape (op, "the output", out)) < 0)
    return r;
  if (op->n_in < row->least || op->n_in > row->most)
    return qk_error (-EINVAL, "%s: %d inputs, expected %d to %d",
                     qk_op_named (op), op->n_in, row->least, row->most);
  for (int i = 0; i < op->n_in; i++) {
    if ((r = check_shape (op, "the input", &in[i])) < 0)
      return r;
    if (in[i].dims[0] != out->dims[0])
      return qk_error (-EINVAL,
                       "%s: input %d is a batch of %lld, output of %lld",
                       qk_op_named (op), i, (long long) in[i].dims[0],
                       (long long) out->dims[0]);
    if (!(row->flags & (QK_OPF_REAL_IN | QK_OPF_NO_GRIDS))
        && (r = check_grid (op, "the input", &op->in_q[i])) < 0)
      return r;
  }
  if ((r = check_output (op)) < 0)
    return r;
  return row->check (op, in, out);
}

/* ---- nodes of networks --------------------------------------------------- */

static int
check_zero_point (const struct qk_op *op, const char *what,
                  const struct qk_qparams *q)
{
  if (q->zero_point < q->qmin || q->zero_point > q->qmax || q->qmin >= q->qmax)
    return qk_error (-EINVAL,
                     "%s: zero point of %s is %d, expected to be within its "
                     "range, %d to %d",
                     qk_op_named (op), what, q->zero_point, q->qmin, q->qmax);
  return 0;
}

int
qk_op_check_node (const struct qk_op *op, const struct qk_shape *in,
                  const struct qk_shape *out)
{
  const struct qk_op_row *row = qk_op_row (op->kind);
  int r = qk_op_check (op, in, out);

  if (r < 0)
    return r;
  if (row->flags & QK_OPF_AROUND)
    return qk_error (-EINVAL, "%s: %s is not a node of a network",
                     qk_op_named (op), row->name);
  for (int i = 0; i < op->n_in && !(row->flags & QK_OPF_REAL_IN); i++)
    if ((r = check_grid (op, "the input", &op->in_q[i])) < 0
        || (r = check_zero_point (op, "the input", &op->in_q[i])) < 0)
      return r;
  if (!real_output (op)) {
    if ((r = check_grid (op, "the output", &op->out_q)) < 0
        || (r = check_zero_point (op, "the output", &op->out_q)) < 0)
      return r;
    if (op->lo < op->out_q.qmin || op->hi > op->out_q.qmax || op->lo > op->hi)
      return qk_error (-EINVAL,
                       "%s: output bounds are %d to %d, expected within %d "
                       "to %d",
                       qk_op_named (op), (int) op->lo, (int) op->hi,
                       op->out_q.qmin, op->out_q.qmax);
  }
  return row->numbers == NULL ? 0 : row->numbers (op);
}
