/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* int8op.c: checks of int8 operations, shared by backends. */
#include "config.h"

#include "int8op.h"

#include <math.h>

#define MAX_DIM ((int64_t) 1 << 30)
#define MAX_COUNT ((int64_t) 1 << 40)
#define MAX_WINDOW 4096

static int
check_shape (const char *name, const char *what, const struct qk_shape *s)
{
  int64_t count = 1;

  if (s->ndim < 2 || s->ndim > QK_MAX_DIMS)
    return qk_error (-EINVAL, "%s: %s has %d dimensions, expected 2 to %d",
                     name, what, s->ndim, QK_MAX_DIMS);
  for (int i = 0; i < s->ndim; i++) {
    if (s->dims[i] < 1 || s->dims[i] > MAX_DIM)
      return qk_error (-EINVAL,
                       "%s: dimension %d of %s is %lld, expected 1 "
                       "to %lld",
                       name, i, what, (long long) s->dims[i],
                       (long long) MAX_DIM);
    count *= s->dims[i]; /* at most 2^70 before the test below stops it */
    if (count > MAX_COUNT)
      return qk_error (-EINVAL, "%s: %s has more than 2^40 elements", name,
                       what);
  }
  return 0;
}

static int
check_grid (const char *name, const char *what, const struct qk_qparams *q)
{
  if (!(q->scale > 0) || !isfinite (q->scale))
    return qk_error (-EINVAL,
                     "%s: scale of %s is %g, expected a positive "
                     "finite number",
                     name, what, (double) q->scale);
  if (q->zero_point < 0 || q->zero_point > 255)
    return qk_error (-EINVAL,
                     "%s: zero point of %s is %d, expected 0 to "
                     "255",
                     name, what, (int) q->zero_point);
  if (q->qmin < 0 || q->qmin > q->qmax || q->qmax > 255)
    return qk_error (-EINVAL,
                     "%s: range of %s is %d to %d, expected within "
                     "0 to 255",
                     name, what, (int) q->qmin, (int) q->qmax);
  return 0;
}

static int
check_window (const char *name, const struct qk_op *op)
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
      return qk_error (-EINVAL, "%s: %s is %d, expected %d to %d", name,
                       rows[i].what, rows[i].value, rows[i].min, rows[i].max);
  return 0;
}

/* Output size along one axis must be what the window gives; POOL also allows
 * one more (ceil mode), if every window touches the sample. */
static int
check_extent (const char *name, const char *axis, bool pool, int64_t size,
              int64_t out, int kernel, int stride, int before, int after,
              int dilation)
{
  const int64_t reach = (int64_t) dilation * (kernel - 1) + 1;
  const int64_t room = size + before + after - reach;
  const int64_t want = room < 0 ? 0 : room / stride + 1;

  if (out != want && !(pool && room >= 0 && out == want + 1))
    return qk_error (-EINVAL, "%s: output %s is %lld, expected %lld", name,
                     axis, (long long) out, (long long) want);
  if (!pool)
    return 0;
  for (int64_t i = 0; i < out; i++) {
    int first, last;

    int8op_taps (i * stride - before, kernel, dilation, size, &first, &last);
    if (first == last)
      return qk_error (-EINVAL,
                       "%s: pooling window %lld lies outside the "
                       "sample (%s %lld, padding %d and %d)",
                       name, (long long) i, axis, (long long) size, before,
                       after);
  }
  return 0;
}

static int
check_spatial (const char *name, const struct qk_op *op,
               const struct qk_shape *in, const struct qk_shape *out,
               struct int8op_geometry *g)
{
  const bool pool = op->kind != QK_OP_CONV2D;
  int r;

  if (in->ndim != 4 || (out->ndim != 4 && out->ndim != 2))
    return qk_error (-EINVAL,
                     "%s: input and output have %d and %d "
                     "dimensions, expected 4 (or 2 for one output pixel)",
                     name, in->ndim, out->ndim);
  r = check_window (name, op);
  if (r < 0)
    return r;
  g->h = in->dims[1], g->w = in->dims[2], g->c = in->dims[3];
  g->p = out->ndim == 4 ? out->dims[1] : 1;
  g->q = out->ndim == 4 ? out->dims[2] : 1;
  g->k = out->dims[out->ndim - 1];
  r = check_extent (name, "height", pool, g->h, g->p, op->kernel_h,
                    op->stride_h, op->pad_top, op->pad_bottom, op->dilation_h);
  if (r < 0)
    return r;
  r = check_extent (name, "width", pool, g->w, g->q, op->kernel_w,
                    op->stride_w, op->pad_left, op->pad_right, op->dilation_w);
  if (r < 0)
    return r;
  if (pool && g->k != g->c)
    return qk_error (-EINVAL, "%s: output has %lld channels, expected %lld",
                     name, (long long) g->k, (long long) g->c);
  return 0;
}

static int
check_weighted (const char *name, const struct qk_op *op,
                const struct int8op_geometry *g)
{
  const int groups = op->kind == QK_OP_CONV2D ? op->groups : 1;

  if (op->in_channels != g->c || op->out_channels != g->k)
    return qk_error (-EINVAL,
                     "%s: weight is for %lld to %lld channels, the "
                     "tensors have %lld and %lld",
                     name, (long long) op->in_channels,
                     (long long) op->out_channels, (long long) g->c,
                     (long long) g->k);
  if (groups < 1 || g->c % groups != 0 || g->k % groups != 0)
    return qk_error (-EINVAL,
                     "%s: %d groups do not divide %lld and %lld "
                     "channels",
                     name, groups, (long long) g->c, (long long) g->k);
  if (op->kind == QK_OP_CONV2D
      && (int64_t) op->kernel_h * op->kernel_w * (g->c / groups) > MAX_DIM)
    return qk_error (-EINVAL, "%s: a window of %d x %d x %lld is too large",
                     name, op->kernel_h, op->kernel_w,
                     (long long) (g->c / groups));
  if (op->weight == NULL || op->multiplier == NULL)
    return qk_error (-EINVAL, "%s: no %s given", name,
                     op->weight == NULL ? "weight" : "multiplier");
  return 0;
}

/* Inputs of add and concat against the output. */
static int
check_joined (const char *name, const struct qk_op *op,
              const struct qk_shape *in, const struct qk_shape *out)
{
  const int last = out->ndim - 1;
  int64_t sum = 0;

  for (int i = 0; i < op->n_in; i++) {
    bool same = in[i].ndim == out->ndim;

    for (int d = 0; same && d < last; d++)
      same = in[i].dims[d] == out->dims[d];
    if (same && op->kind == QK_OP_ADD)
      same = in[i].dims[last] == out->dims[last];
    if (!same) {
      char a[96], b[96];

      return qk_error (-EINVAL, "%s: input %d is %s, output is %s", name, i,
                       qk_shape_print (&in[i], a, sizeof a),
                       qk_shape_print (out, b, sizeof b));
    }
    sum += in[i].dims[last];
  }
  if (op->kind == QK_OP_CONCAT && sum != out->dims[last])
    return qk_error (-EINVAL,
                     "%s: inputs have %lld channels together, the "
                     "output %lld",
                     name, (long long) sum, (long long) out->dims[last]);
  return 0;
}

static int
check_inputs (const char *name, const struct qk_op *op,
              const struct qk_shape *in, const struct qk_shape *out)
{
  const int most = op->kind == QK_OP_CONCAT ? QK_OP_MAX_INPUTS
                   : op->kind == QK_OP_ADD  ? 2
                                            : 1;
  const int least = op->kind == QK_OP_ADD ? 2 : 1;
  int r;

  if (op->n_in < least || op->n_in > most)
    return qk_error (-EINVAL, "%s: %d inputs, expected %d to %d", name,
                     op->n_in, least, most);
  for (int i = 0; i < op->n_in; i++) {
    r = check_shape (name, "the input", &in[i]);
    if (r < 0)
      return r;
    if (in[i].dims[0] != out->dims[0])
      return qk_error (-EINVAL,
                       "%s: input %d is a batch of %lld, output of "
                       "%lld",
                       name, i, (long long) in[i].dims[0],
                       (long long) out->dims[0]);
    if (op->kind == QK_OP_QUANTIZE || op->kind == QK_OP_RESHAPE)
      continue;
    r = check_grid (name, "the input", &op->in_q[i]);
    if (r < 0)
      return r;
  }
  return 0;
}

static int
check_output (const char *name, const struct qk_op *op)
{
  if (op->kind == QK_OP_RESHAPE || op->kind == QK_OP_DEQUANTIZE)
    return 0;
  if (op->kind == QK_OP_LINEAR && op->out_q.scale == 0)
    return 0;
  if (op->lo < 0 || op->lo > op->hi || op->hi > 255)
    return qk_error (-EINVAL,
                     "%s: output bounds are %d to %d, expected "
                     "within 0 to 255",
                     name, (int) op->lo, (int) op->hi);
  if (op->kind == QK_OP_MAXPOOL2D || op->kind == QK_OP_AVGPOOL2D
      || op->kind == QK_OP_CLAMP) {
    const struct qk_qparams *a = &op->in_q[0], *b = &op->out_q;

    if (a->scale != b->scale || a->zero_point != b->zero_point)
      return qk_error (-EINVAL,
                       "%s: the output's scale and zero point are %g "
                       "and %d, expected the input's, %g and %d",
                       name, (double) b->scale, (int) b->zero_point,
                       (double) a->scale, (int) a->zero_point);
  }
  return check_grid (name, "the output", &op->out_q);
}

int
int8op_check (const struct qk_op *op, const struct qk_shape *in,
              const struct qk_shape *out, struct int8op_geometry *g)
{
  const char *name = op->name != NULL ? op->name : "int8 operation";
  int r;

  if (op->kind == QK_OP_LINEAR_DYNAMIC)
    return qk_error (-ENOTSUP, "%s: dynamic quantization is not done here",
                     name);
  if (op->kind < QK_OP_CONV2D || op->kind > QK_OP_REQUANTIZE)
    return qk_error (-EINVAL, "%s: unknown kind of operation, %d", name,
                     (int) op->kind);
  r = check_shape (name, "the output", out);
  if (r == 0)
    r = check_inputs (name, op, in, out);
  if (r == 0)
    r = check_output (name, op);
  if (r < 0)
    return r;

  *g = (struct int8op_geometry){
    .batch = out->dims[0], .h = 1, .w = 1, .p = 1, .q = 1
  };
  g->c = qk_shape_count (&in[0]) / g->batch;
  g->k = qk_shape_count (out) / g->batch;

  switch (op->kind) {
  case QK_OP_CONV2D:
    r = check_spatial (name, op, in, out, g);
    return r < 0 ? r : check_weighted (name, op, g);
  case QK_OP_LINEAR:
    return check_weighted (name, op, g);
  case QK_OP_MAXPOOL2D:
  case QK_OP_AVGPOOL2D:
    return check_spatial (name, op, in, out, g);
  case QK_OP_ADD:
  case QK_OP_CONCAT:
    return check_joined (name, op, in, out);
  default:
    if (g->c != g->k)
      return qk_error (-EINVAL, "%s: input has %lld elements, output %lld",
                       name, (long long) g->c, (long long) g->k);
    return 0;
  }
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
