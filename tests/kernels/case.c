/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* case.c: random int8 operations with the sizes and numbers that break
 * kernels: odd widths, extremes, ties, zero points at the ends. */
#include "config.h"

#include "kernels/case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_MACS 1500000 /* of a case, to be quick */

static int
between (struct qk_rng *r, int lo, int hi)
{
  return lo + (int) qk_rng_below (r, (uint64_t) (hi - lo) + 1);
}

static bool
one_in (struct qk_rng *r, int n)
{
  return qk_rng_below (r, (uint64_t) n) == 0;
}

/* A channel count: often around the widths of vectors and tiles. */
static int
channels (struct qk_rng *r)
{
  static const int usual[] = { 1,  2,  3,  4,  8,  12,  16,  24,  32, 48,
                               60, 64, 72, 80, 96, 112, 128, 144, 160 };
  const int pick = usual[qk_rng_below (r, sizeof usual / sizeof usual[0])];

  switch (between (r, 0, 3)) {
  case 0:
    return between (r, 1, 70);
  case 1:
    return pick > 1 ? pick - 1 : 1;
  case 2:
    return pick + 1;
  default:
    return pick;
  }
}

static float
log_uniform (struct qk_rng *r, double lo, double hi)
{
  return (float) (lo * pow (hi / lo, qk_rng_double (r)));
}

static struct qk_qparams
random_grid (struct qk_rng *r)
{
  struct qk_qparams q = { .qmin = 0, .qmax = 255 };

  switch (between (r, 0, 5)) {
  case 0:
    q.scale = 0.25f; /* sums of such numbers tie often */
    break;
  case 1:
    q.scale = one_in (r, 8) ? 3e38f : 1.0f;
    break;
  case 2:
    q.scale = one_in (r, 8) ? 1e-38f : 0.5f;
    break;
  default:
    q.scale = log_uniform (r, 1e-4, 1.0);
  }
  if (one_in (r, 2))
    q.qmax = 127;
  else if (one_in (r, 4))
    q.qmin = between (r, 0, 200), q.qmax = between (r, q.qmin + 1, 255);
  switch (between (r, 0, 4)) {
  case 0:
    q.zero_point = q.qmin;
    break;
  case 1:
    q.zero_point = q.qmax;
    break;
  case 2:
    q.zero_point = one_in (r, 4) ? between (r, 0, 255) : q.qmin;
    break;
  default:
    q.zero_point = between (r, q.qmin, q.qmax);
  }
  return q;
}

/* The same of 9 to 16 bits. */
static struct qk_qparams
random_wide_grid (struct qk_rng *r)
{
  struct qk_qparams q = { .scale = log_uniform (r, 1e-6, 1e-2), .qmin = 0 };

  q.qmax = (1 << (one_in (r, 2) ? 16 : between (r, 9, 16))) - 1;
  if (one_in (r, 4))
    q.scale = ldexpf (1.0f, -between (r, 6, 16));
  q.zero_point = one_in (r, 4)   ? q.qmin
                 : one_in (r, 4) ? q.qmax
                                 : between (r, q.qmin, q.qmax);
  return q;
}

/* Let some of the operation's grids, one of them at least, be such: all of one
 * that keeps its input's. */
static void
widen_grids (struct qk_rng *r, struct qk_op *op)
{
  const bool kept = op->kind == QK_OP_MAXPOOL2D || op->kind == QK_OP_CLAMP
                    || op->kind == QK_OP_TRANSPOSE || op->kind == QK_OP_GATHER
                    || op->kind == QK_OP_RESHAPE;
  const bool out = op->kind != QK_OP_DEQUANTIZE && one_in (r, 2);

  for (int i = 0; i < QK_OP_MAX_INPUTS; i++)
    if ((i == 0 && !out) || one_in (r, 2))
      op->in_q[i] = random_wide_grid (r);
  if (out || op->kind == QK_OP_QUANTIZE)
    op->out_q = random_wide_grid (r);
  if (kept) {
    op->in_q[0] = random_wide_grid (r);
    op->out_q = op->in_q[0];
  }
}

/* Kinds of which there are cases of more than 8 bits. */
static bool
has_wide (enum qk_op_kind kind)
{
  static const enum qk_op_kind kinds[]
    = { QK_OP_CONV2D,     QK_OP_LINEAR,     QK_OP_BINARY,    QK_OP_CONCAT,
        QK_OP_MAXPOOL2D,  QK_OP_CLAMP,      QK_OP_RESHAPE,   QK_OP_QUANTIZE,
        QK_OP_DEQUANTIZE, QK_OP_REQUANTIZE, QK_OP_TRANSPOSE, QK_OP_GATHER };
  bool found = false;

  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    found = found || kinds[i] == kind;
  return found;
}

static void
random_bounds (struct qk_rng *r, struct qk_op *op)
{
  op->lo = op->out_q.qmin;
  op->hi = op->out_q.qmax;
  if (one_in (r, 3) && op->out_q.zero_point > op->lo
      && op->out_q.zero_point <= op->hi)
    op->lo = op->out_q.zero_point;
  if (one_in (r, 4))
    op->hi = between (r, op->lo, op->hi);
}

/* ---- data -------------------------------------------------------------- */

static void
fill_u8 (struct qk_rng *r, uint8_t *x, size_t n, const struct qk_qparams *q)
{
  const int how = between (r, 0, 7);

  for (size_t i = 0; i < n; i++)
    switch (how) {
    case 0:
      x[i] = (uint8_t) q->qmax;
      break;
    case 1:
      x[i] = (uint8_t) q->qmin;
      break;
    case 2:
      x[i] = (uint8_t) (one_in (r, 2) ? q->qmin : q->qmax);
      break;
    default:
      x[i] = (uint8_t) between (r, q->qmin, q->qmax);
    }
}

static void
fill_u16 (struct qk_rng *r, uint16_t *x, size_t n, const struct qk_qparams *q)
{
  const int how = between (r, 0, 7);

  for (size_t i = 0; i < n; i++)
    x[i] = (uint16_t) (how == 0   ? q->qmax
                       : how == 1 ? q->qmin
                       : how == 2 ? (one_in (r, 2) ? q->qmin : q->qmax)
                                  : between (r, q->qmin, q->qmax));
}

static void
fill_f32 (struct qk_rng *r, float *x, size_t n, float scale)
{
  static const float special[]
    = { INFINITY, -INFINITY, NAN, -0.0f, 1e-42f, 3e38f, -3e38f, 0.0f };
  const bool ties = one_in (r, 3), wild = one_in (r, 4);

  for (size_t i = 0; i < n; i++) {
    x[i] = (float) qk_rng_normal (r) * 60 * scale;
    if (ties)
      x[i] = ((float) between (r, -300, 300) + 0.5f) * scale;
    if (wild && one_in (r, 8))
      x[i] = special[qk_rng_below (r, 8)];
  }
}

static void
fill_weights (struct qk_rng *r, int8_t *w, size_t n)
{
  const int how = between (r, 0, 13);

  for (size_t i = 0; i < n; i++)
    switch (how) {
    case 0:
      w[i] = -128;
      break;
    case 1:
      w[i] = 127;
      break;
    case 2:
      w[i] = (int8_t) (one_in (r, 2) ? -128 : 127);
      break;
    case 3:
    case 4: /* as trained: few large ones */
      w[i] = (int8_t) fmax (-128, fmin (127, qk_rng_normal (r) * 30));
      break;
    case 5:
      w[i] = (int8_t) between (r, -1, 1);
      break;
    case 6: /* pairs at the border of what 255 times them may be */
      w[i] = (int8_t) (i % 2 == 0 ? between (r, 1, 127)
                                  : between (r, 127, 129) - w[i - 1]);
      break;
    case 7: /* steps of four that outweigh each other */
      w[i] = (int8_t) (i / 4 % 2 == 0 ? between (r, 90, 127)
                                      : between (r, -128, -90));
      break;
    case 8: /* small, with a rare pair that saturates by itself */
      w[i] = (int8_t) (i % 2 != 0 && w[i - 1] == 127 ? 127
                       : i % 2 == 0 && one_in (r, 100)
                         ? 127
                         : fmax (-126, fmin (126, qk_rng_normal (r) * 8)));
      break;
    case 9: /* seven bits */
      w[i] = (int8_t) fmax (-64, fmin (63, qk_rng_normal (r) * 25));
      break;
    case 10: /* four or eight at the border of what 128 times them may be */
      w[i] = (int8_t) ((i % 4 == 0 ? between (r, 62, 66) : 63)
                       / (i / 8 % 2 == 0 ? 1 : 2) * (one_in (r, 9) ? -1 : 1));
      break;
    default:
      w[i] = (int8_t) between (r, -128, 127);
    }
}

static void
fill_multipliers (struct qk_rng *r, float *m, size_t channels_, double spread)
{
  static const float special[]
    = { 1e30f, INFINITY, NAN, 0.0f, -0.01f, 1e-42f, 3e38f, 65536.0f };
  const int how = between (r, 0, 9);

  for (size_t i = 0; i < channels_; i++) {
    m[i] = (float) (log_uniform (r, 0.2, 3.0) * 60 / spread);
    if (how == 0)
      m[i] = one_in (r, 2) ? 0.5f : 0.25f;
    if (how == 1)
      m[i] = ldexpf (1.0f, (int) lrint (log2 ((double) m[i])));
    if (how == 2 && one_in (r, 4))
      m[i] = special[qk_rng_below (r, 8)];
    if (how == 3)
      m[i] *= 1000;
  }
}

static void
fill_bias (struct qk_rng *r, int32_t *b, size_t n, double spread)
{
  const int how = between (r, 0, 5);

  for (size_t i = 0; i < n; i++) {
    b[i] = (int32_t) (qk_rng_normal (r) * spread);
    if (how == 0)
      b[i] = one_in (r, 2) ? 1 << 30 : -(1 << 30);
    if (how == 1)
      b[i] = 0;
  }
}

/* Weights for K channels of PER numbers each. */
static int
fill_weighted (struct kernel_case *c, struct qk_rng *r, size_t k, size_t per)
{
  /* of the sums; multipliers so that they reach both ends of the output */
  const double in = c->op.in_q[0].qmax > 255 ? c->op.in_q[0].qmax / 255.0 : 1;
  const double out = c->op.out_q.qmax > 255 ? c->op.out_q.qmax / 255.0 : 1;
  const double spread = (sqrt ((double) per) * 74 * 60 + 1) * in;

  c->weight = malloc (k * per);
  c->bias = malloc (k * sizeof *c->bias);
  c->multiplier = malloc (k * sizeof *c->multiplier);
  if (c->weight == NULL || c->bias == NULL || c->multiplier == NULL)
    return -1;
  fill_weights (r, c->weight, k * per);
  fill_bias (r, c->bias, k, spread);
  fill_multipliers (r, c->multiplier, k, spread / out);
  c->op.weight = c->weight;
  c->op.bias = one_in (r, 20) ? NULL : c->bias;
  c->op.multiplier = c->multiplier;
  return 0;
}

/* ---- shapes ------------------------------------------------------------ */

static struct qk_shape
shape4 (int64_t n, int64_t h, int64_t w, int64_t c)
{
  return (struct qk_shape){ 4, { n, h, w, c } };
}

static struct qk_shape
random_shape (struct qk_rng *r, int batch)
{
  struct qk_shape s = { .ndim = between (r, 2, 4) };

  s.dims[0] = batch;
  for (int i = 1; i < s.ndim; i++)
    s.dims[i] = between (r, 1, 9);
  s.dims[s.ndim - 1] = channels (r);
  return s;
}

static int
extent (int size, int kernel, int stride, int dilation, int pad)
{
  const int room = size + pad - dilation * (kernel - 1) - 1;

  return room < 0 ? 0 : room / stride + 1;
}

static void
random_window (struct qk_rng *r, struct qk_op *op)
{
  static const int sizes[] = { 1, 1, 3, 3, 3, 5, 7, 2, 4 };

  op->kernel_h = op->kernel_w = sizes[qk_rng_below (r, 9)];
  if (one_in (r, 5))
    op->kernel_w = between (r, 1, 5);
  op->stride_h = op->stride_w = one_in (r, 2) ? 1 : between (r, 1, 3);
  if (one_in (r, 6))
    op->stride_w = between (r, 1, 3);
  op->dilation_h = op->dilation_w = one_in (r, 5) ? between (r, 1, 3) : 1;
  op->pad_top = op->pad_bottom = op->pad_left = op->pad_right
    = one_in (r, 3) ? 0 : op->kernel_h / 2;
  if (one_in (r, 4)) {
    op->pad_top = between (r, 0, op->kernel_h - 1);
    op->pad_left = between (r, 0, op->kernel_w - 1);
    op->pad_bottom = between (r, 0, op->kernel_h - 1);
    op->pad_right = between (r, 0, op->kernel_w - 1);
  }
}

/* The usual window, which backends have faster ways for. */
static void
usual_window (struct qk_op *op)
{
  op->kernel_h = op->kernel_w = 3;
  op->stride_h = op->stride_w = op->dilation_h = op->dilation_w = 1;
  op->pad_top = op->pad_left = op->pad_bottom = op->pad_right = 1;
}

static int
pick_groups (struct qk_rng *r, int c)
{
  int g = between (r, 1, c);

  while (c % g != 0)
    g--;
  return g;
}

/* Groups of few channels, some of them as vectors hold them. */
static void
few_channels (struct qk_rng *r, struct qk_op *op, int *in, int *out)
{
  const int per_group
    = one_in (r, 2) ? between (r, 1, 20) : 1 << between (r, 0, 4);

  op->groups = between (r, 2, 24);
  *in = op->groups * per_group;
  *out = op->groups
         * (one_in (r, 2)   ? per_group
            : one_in (r, 4) ? between (r, 1, 40)
                            : 1 << between (r, 0, 5));
}

/* The samples of a window of 1x1 without their height and width, or with more
 * axes. */
static void
other_rank (struct kernel_case *c, struct qk_rng *r)
{
  const int ndim = between (r, 2, 5);

  c->op.stride_h = c->op.stride_w = 1;
  c->op.pad_bottom = c->op.pad_right = 0;
  for (int i = 0; i < 2; i++) {
    struct qk_shape *s = i == 0 ? &c->in[0] : &c->out;
    const int64_t h = s->dims[1], w = s->dims[2], channels_ = s->dims[3];

    s->ndim = ndim;
    s->dims[1] = h;
    s->dims[2] = ndim == 5 ? 1 : w;
    s->dims[3] = w;
    s->dims[ndim - 1] = channels_;
  }
}

static int
make_conv2d (struct kernel_case *c, struct qk_rng *r, int batch)
{
  struct qk_op *op = &c->op;
  const bool usual = one_in (r, 4);
  int h, w, p, q, in, out;
  int64_t macs;

  do {
    random_window (r, op);
    h = between (r, 1, one_in (r, 3) ? 20 : 9);
    w = between (r, 1, one_in (r, 3) ? 40 : 9);
    in = channels (r);
    out = channels (r);
    if (usual) {
      usual_window (op);
      h += 6;
      in += 20;
      out += 20;
    }
    op->groups = 1;
    if (!usual && one_in (r, 3))
      op->groups = out = in; /* depthwise */
    else if (!usual && one_in (r, 5))
      out = (op->groups = pick_groups (r, in)) * between (r, 1, 9);
    else if (!usual && one_in (r, 4))
      few_channels (r, op, &in, &out);
    p = extent (h, op->kernel_h, op->stride_h, op->dilation_h,
                op->pad_top + op->pad_bottom);
    q = extent (w, op->kernel_w, op->stride_w, op->dilation_w,
                op->pad_left + op->pad_right);
    macs = (int64_t) batch * p * q * out * (in / op->groups) * op->kernel_h
           * op->kernel_w;
  } while (p < 1 || q < 1 || macs > MOST_MACS);
  op->in_channels = in;
  op->out_channels = out;
  c->in[0] = shape4 (batch, h, w, in);
  c->out = shape4 (batch, p, q, out);
  if (op->kernel_h == 1 && op->kernel_w == 1 && p == h && q == w
      && op->pad_top + op->pad_left == 0 && one_in (r, 3))
    other_rank (c, r);
  if (one_in (r, 8))
    memset (&op->out_q, 0, sizeof op->out_q); /* f32 */
  return fill_weighted (
    c, r, (size_t) out,
    (size_t) (op->kernel_h * op->kernel_w * (in / op->groups)));
}

/* Output size of a transposed window along an axis. */
static int
transposed_extent (struct qk_rng *r, int size, int kernel, int stride,
                   int dilation, int padding)
{
  const int most = stride > dilation ? stride : dilation;

  return (size - 1) * stride - padding + dilation * (kernel - 1) + 1
         + between (r, 0, most - 1);
}

static int
make_transposed (struct kernel_case *c, struct qk_rng *r, int batch)
{
  struct qk_op *op = &c->op;
  int h, w, p, q, in, out;
  int64_t macs;

  do {
    random_window (r, op);
    if (one_in (r, 3))
      op->stride_h = op->stride_w = between (r, 1, 4);
    h = between (r, 1, 7);
    w = between (r, 1, 9);
    in = channels (r);
    out = channels (r);
    op->groups = 1;
    if (one_in (r, 4))
      op->groups = out = in; /* depthwise */
    else if (one_in (r, 4))
      out = (op->groups = pick_groups (r, in)) * between (r, 1, 5);
    p = transposed_extent (r, h, op->kernel_h, op->stride_h, op->dilation_h,
                           op->pad_top + op->pad_bottom);
    q = transposed_extent (r, w, op->kernel_w, op->stride_w, op->dilation_w,
                           op->pad_left + op->pad_right);
    macs = (int64_t) batch * h * w * out * (in / op->groups) * op->kernel_h
           * op->kernel_w;
  } while (p < 1 || q < 1 || macs > MOST_MACS);
  op->in_channels = in;
  op->out_channels = out;
  c->in[0] = shape4 (batch, h, w, in);
  c->out = shape4 (batch, p, q, out);
  if (one_in (r, 8))
    memset (&op->out_q, 0, sizeof op->out_q); /* f32 */
  return fill_weighted (
    c, r, (size_t) out,
    (size_t) (op->kernel_h * op->kernel_w * (in / op->groups)));
}

/* Weights of four bits. */
static void
fill_few_bits (struct qk_rng *r, int8_t *w, size_t n)
{
  const bool ends = one_in (r, 3);

  for (size_t i = 0; i < n; i++)
    w[i] = (int8_t) (!ends ? between (r, -8, 7) : one_in (r, 2) ? -8 : 7);
}

static int
make_linear (struct kernel_case *c, struct qk_rng *r, int batch)
{
  /* so many weights are packed where they fit four bits */
  const bool large = one_in (r, 6);
  const int in = large           ? between (r, 200, 700)
                 : one_in (r, 4) ? between (r, 1, 1300)
                                 : channels (r);
  const int out = large           ? between (r, 330, 400)
                  : one_in (r, 4) ? between (r, 1, 300)
                                  : channels (r);
  int e;

  c->op.in_channels = in;
  c->op.out_channels = out;
  c->in[0] = (struct qk_shape){ 2, { batch, in } };
  for (int64_t rows = 4; one_in (r, 3) && c->in[0].ndim < QK_MAX_DIMS
                         && batch * rows * in * out < MOST_MACS;
       rows *= 4) {
    c->in[0].dims[c->in[0].ndim - 1] = between (r, 1, 4);
    c->in[0].dims[c->in[0].ndim++] = in;
  }
  c->out = c->in[0];
  c->out.dims[c->out.ndim - 1] = out;
  if (one_in (r, 2))
    memset (&c->op.out_q, 0, sizeof c->op.out_q);
  if ((e = fill_weighted (c, r, (size_t) out, (size_t) in)) == 0 && large)
    fill_few_bits (r, c->weight, (size_t) in * (size_t) out);
  return e;
}

/* Whether pooling window I along an axis touches the sample. */
static bool
touches (int i, int kernel, int stride, int dilation, int before, int size)
{
  for (int t = 0; t < kernel; t++) {
    const int at = i * stride - before + t * dilation;

    if (at >= 0 && at < size)
      return true;
  }
  return false;
}

/* Output size along an axis, sometimes one more as ceil mode makes. */
static int
pool_extent (struct qk_rng *r, int size, int kernel, int stride, int dilation,
             int before, int after)
{
  int out = extent (size, kernel, stride, dilation, before + after);

  if (out > 0 && one_in (r, 3)
      && (size + before + after - dilation * (kernel - 1) - 1) % stride != 0
      && touches (out, kernel, stride, dilation, before, size))
    out++;
  for (int i = 0; i < out; i++)
    if (!touches (i, kernel, stride, dilation, before, size))
      return 0;
  return out;
}

static int
make_pool (struct kernel_case *c, struct qk_rng *r, int batch)
{
  struct qk_op *op = &c->op;
  const bool wide = one_in (r, 10), large = one_in (r, 10);
  const int ch = channels (r) + (wide ? 150 : 0);
  int h, w, p, q;

  do {
    random_window (r, op);
    h = between (r, 1, 14);
    w = between (r, 1, 14);
    if (wide) { /* more than backends hold of a row */
      h = between (r, 1, 3);
      w = between (r, 70, 130);
    } else if (large) /* more than 16 bits can sum */
      h = between (r, 17, 24), w = between (r, 17, 24);
    if (large || one_in (r, 4)) {
      op->kernel_h = h, op->kernel_w = w;
      op->pad_top = op->pad_left = op->pad_bottom = op->pad_right = 0;
    }
    if (op->kind == QK_OP_AVGPOOL2D)
      op->dilation_h = op->dilation_w = 1;
    p = pool_extent (r, h, op->kernel_h, op->stride_h, op->dilation_h,
                     op->pad_top, op->pad_bottom);
    q = pool_extent (r, w, op->kernel_w, op->stride_w, op->dilation_w,
                     op->pad_left, op->pad_right);
  } while (p < 1 || q < 1);
  op->count_pad = one_in (r, 2);
  c->in[0] = shape4 (batch, h, w, ch);
  c->out = shape4 (batch, p, q, ch);
  if (p == 1 && q == 1 && one_in (r, 2))
    c->out = (struct qk_shape){ 2, { batch, ch } };
  return 0;
}

static int
make_concat (struct kernel_case *c, struct qk_rng *r, int batch)
{
  int axis;

  c->op.n_in = one_in (r, 8) ? QK_OP_MAX_INPUTS : between (r, 1, 4);
  c->out = random_shape (r, batch);
  c->op.axis = one_in (r, 2) ? 0 : between (r, 1, c->out.ndim - 1);
  axis = c->op.axis == 0 ? c->out.ndim - 1 : c->op.axis;
  c->out.dims[axis] = 0;
  for (int i = 0; i < c->op.n_in; i++) {
    c->in[i] = c->out;
    c->in[i].dims[axis]
      = axis == c->out.ndim - 1 ? channels (r) : between (r, 1, 6);
  }
  for (int i = 0; i < c->op.n_in; i++)
    c->out.dims[axis] += c->in[i].dims[axis];
  return 0;
}

/* Axes in any order, often some that stay neighbours; the widths of tiles. */
static int
make_transpose (struct kernel_case *c, struct qk_rng *r, int batch)
{
  const int axes = one_in (r, 6) ? QK_MAX_DIMS : between (r, 1, 5);
  int64_t sample = 1;

  for (int i = 0; i < axes; i++) {
    const int most = sample > 2000 ? 3 : sample > 200 ? 8 : 70;
    const int size = one_in (r, 3) ? between (r, 1, 4) : between (r, 1, most);

    c->order[2 * i] = size;
    c->order[2 * i + 1] = i;
    sample *= size;
  }
  for (int i = axes - 1; i > 0 && !one_in (r, 10); i--) {
    const int k = between (r, 0, i), from = c->order[2 * i + 1];

    c->order[2 * i + 1] = c->order[2 * k + 1];
    c->order[2 * k + 1] = from;
  }
  c->op.axes = axes;
  c->op.order = c->order;
  c->in[0] = (struct qk_shape){ 2, { batch, sample } };
  c->out
    = one_in (r, 2) ? c->in[0] : (struct qk_shape){ 3, { batch, 1, sample } };
  return 0;
}

/* Places along an axis of SIZE elements: all of them, backwards, every other,
 * repeated, with a border, or any. */
static void
fill_places (struct qk_rng *r, int32_t *place, int64_t out, int64_t size)
{
  const int how = between (r, 0, 6), shift = between (r, -3, 3);

  for (int64_t i = 0; i < out; i++) {
    int64_t p = how == 0   ? i
                : how == 1 ? size - 1 - i
                : how == 2 ? 2 * i
                : how == 3 ? i / 2
                : how == 4 ? i + shift
                : how == 5 ? 0
                           : between (r, -1, (int) size - 1);

    place[i] = (int32_t) (p < 0 || p >= size ? -1 : p);
  }
}

static int
make_gather (struct kernel_case *c, struct qk_rng *r, int batch)
{
  int32_t *place;

  c->in[0] = c->out = random_shape (r, batch);
  if (one_in (r, 6)) {
    c->in[0].ndim = c->out.ndim = QK_MAX_DIMS;
    for (int i = 1; i < QK_MAX_DIMS; i++)
      c->in[0].dims[i] = c->out.dims[i] = between (r, 1, 4);
  }
  for (int d = 1; d < c->out.ndim; d++) {
    if (!one_in (r, 2))
      c->out.dims[d] = between (r, 1, (int) c->in[0].dims[d] + 4);
    c->op.places += c->out.dims[d];
  }
  c->op.place = place = c->place
    = malloc ((size_t) c->op.places * sizeof *c->place);
  if (place == NULL)
    return -1;
  for (int d = 1; d < c->out.ndim; d++) {
    const int64_t size = c->in[0].dims[d];

    if (c->out.dims[d] == size && one_in (r, 2))
      for (int64_t i = 0; i < size; i++)
        place[i] = (int32_t) i;
    else
      fill_places (r, place, c->out.dims[d], size);
    place += c->out.dims[d];
  }
  c->op.fill = between (r, 0, qk_grid_most (&c->op.in_q[0]));
  return 0;
}

/* Two or four taps anywhere, with shares as interpolation has them, or wild
 * ones. */
static int
make_resize (struct kernel_case *c, struct qk_rng *r, int batch)
{
  static const float special[] = { 0.0f, 1.0f, 0.5f, 3e38f, -3e38f, 1e-42f };
  const int spatial = between (r, 1, 2), last = spatial + 1;
  const bool wild = one_in (r, 6);
  int64_t at = 0;

  c->in[0] = c->out = (struct qk_shape){ last + 1, { batch } };
  c->op.taps = one_in (r, 2) ? 2 : between (r, 1, 4);
  c->in[0].dims[last] = c->out.dims[last]
    = one_in (r, 8) ? between (r, 250, 300) : channels (r);
  for (int d = 1; d < last; d++) {
    c->in[0].dims[d] = between (r, 1, 7);
    c->out.dims[d] = between (r, 1, 9);
    c->op.places += c->out.dims[d] * c->op.taps;
  }
  c->op.place = c->place = malloc ((size_t) c->op.places * sizeof *c->place);
  c->op.share = c->multiplier
    = malloc ((size_t) c->op.places * sizeof *c->multiplier);
  if (c->place == NULL || c->multiplier == NULL)
    return -1;
  for (int d = 1; d < last; d++)
    for (int64_t i = 0; i < c->out.dims[d] * c->op.taps; i++, at++) {
      c->place[at] = between (r, 0, (int) c->in[0].dims[d] - 1);
      c->multiplier[at] = (float) qk_rng_double (r) * 1.4f - 0.2f;
      if (one_in (r, 4))
        c->multiplier[at] = special[qk_rng_below (r, wild ? 6 : 3)];
    }
  return 0;
}

static int
make_elementwise (struct kernel_case *c, struct qk_rng *r, int batch)
{
  c->out = random_shape (r, batch);
  for (int i = 0; i < c->op.n_in; i++)
    c->in[i] = c->out;
  if (c->op.kind == QK_OP_RESHAPE)
    c->out
      = (struct qk_shape){ 2, { batch, qk_shape_count (&c->in[0]) / batch } };
  return 0;
}

/* Two inputs of which each may lack axes, or have size 1 along some. */
static int
make_binary (struct kernel_case *c, struct qk_rng *r, int batch)
{
  const bool equal = one_in (r, 3);

  c->op.function = between (r, 0, QK_FUNCTIONS - 1);
  c->out = random_shape (r, batch);
  if (one_in (r, 6)) {
    c->out.ndim = QK_MAX_DIMS;
    for (int i = 1; i < QK_MAX_DIMS; i++)
      c->out.dims[i] = between (r, 1, 4);
  }
  c->in[0] = c->in[1] = c->out;
  for (int i = 1; i < c->out.ndim && !equal; i++)
    if (one_in (r, 2))
      c->in[between (r, 0, 1)].dims[i] = 1;
  for (int j = 0; j < 2; j++) {
    struct qk_shape *s = &c->in[j];

    while (s->ndim > 1 && s->dims[1] == 1 && c->in[1 - j].ndim == c->out.ndim
           && one_in (r, 2)) {
      s->ndim--;
      memmove (s->dims + 1, s->dims + 2,
               (size_t) (s->ndim - 1) * sizeof *s->dims);
    }
  }
  return 0;
}

static int
make_table (struct kernel_case *c, struct qk_rng *r, int batch)
{
  for (int i = 0; i < 256; i++)
    c->table[i] = (uint8_t) between (r, c->op.lo, c->op.hi);
  c->op.table = c->table;
  return make_elementwise (c, r, batch);
}

static int
make_prelu (struct kernel_case *c, struct qk_rng *r, int batch)
{
  static const float special[] = { 0.0f, -0.25f, 1.0f, 1e30f, -1e30f };
  const int made = make_elementwise (c, r, batch);
  const int64_t k = c->out.dims[c->out.ndim - 1];

  c->multiplier = malloc ((size_t) k * sizeof *c->multiplier);
  if (c->multiplier == NULL)
    return -1;
  for (int64_t i = 0; i < k; i++)
    c->multiplier[i] = one_in (r, 6) ? special[qk_rng_below (r, 5)]
                                     : log_uniform (r, 1e-3, 10);
  c->op.multiplier = c->multiplier;
  c->op.out_channels = k;
  return made;
}

/* Any axes but the batch, which stay with size 1 or go. */
static int
make_reduce (struct kernel_case *c, struct qk_rng *r, int batch)
{
  const bool keep = one_in (r, 2);
  struct qk_op *op = &c->op;

  c->in[0] = random_shape (r, batch);
  if (one_in (r, 4)) {
    c->in[0].ndim = 5;
    for (int i = 1; i < 5; i++)
      c->in[0].dims[i] = between (r, 1, 6);
  }
  if (one_in (r, 8)) {
    c->in[0].dims[1] = between (r, 250, 600);
    for (int i = 2; i < c->in[0].ndim - 1; i++)
      c->in[0].dims[i] = between (r, 1, 2);
  }
  op->function = between (r, 0, QK_REDUCTIONS - 1);
  op->along = 2 * between (r, 1, (1 << (c->in[0].ndim - 1)) - 1);
  for (int i = 0; i < c->in[0].ndim; i++)
    if ((op->along >> i & 1) == 0)
      c->out.dims[c->out.ndim++] = c->in[0].dims[i];
    else if (keep)
      c->out.dims[c->out.ndim++] = 1;
  if (op->function != QK_SUM)
    op->out_q = op->in_q[0];
  random_bounds (r, op);
  return 0;
}

/* Axes before the last two; of the two inputs one may lack some, or repeat. */
static void
leading_axes (struct kernel_case *c, struct qk_rng *r, int batch)
{
  const int axes = one_in (r, 8) ? QK_MAX_DIMS - 3 : between (r, 0, 2);

  c->out = (struct qk_shape){ 1 + axes, { batch } };
  for (int i = 1; i <= axes; i++)
    c->out.dims[i] = between (r, 1, 3);
  c->in[0] = c->in[1] = c->out;
  for (int i = 1; i <= axes; i++)
    if (one_in (r, 4))
      c->in[between (r, 0, 1)].dims[i] = 1;
  if (axes > 0 && one_in (r, 4)) {
    struct qk_shape *s = &c->in[between (r, 0, 1)];

    s->ndim = 1;
  }
  qk_shape_broadcast (&c->in[0], &c->in[1], &c->out);
}

static void
add_matrix (struct qk_shape *s, int64_t rows, int64_t columns, bool turned)
{
  s->dims[s->ndim++] = turned ? columns : rows;
  s->dims[s->ndim++] = turned ? rows : columns;
}

static int
make_matmul (struct kernel_case *c, struct qk_rng *r, int batch)
{
  struct qk_op *op = &c->op;
  int64_t m, k, p;

  leading_axes (c, r, batch);
  do {
    m = one_in (r, 3) ? between (r, 1, 150) : between (r, 1, 9);
    k = one_in (r, 6) ? between (r, 1, 700) : channels (r);
    p = channels (r);
  } while (qk_shape_count (&c->out) * m * k * p > MOST_MACS);
  op->transpose_a = one_in (r, 3);
  op->transpose_b = one_in (r, 2);
  add_matrix (&c->in[0], m, k, op->transpose_a);
  add_matrix (&c->in[1], k, p, op->transpose_b);
  add_matrix (&c->out, m, p, false);
  op->factor = one_in (r, 2) ? 1.0f : log_uniform (r, 0.01, 10);
  return 0;
}

static int
make_softmax (struct kernel_case *c, struct qk_rng *r, int batch)
{
  const int result = make_elementwise (c, r, batch);

  if (one_in (r, 3))
    c->in[0].dims[between (r, 1, c->in[0].ndim - 1)] = between (r, 200, 700);
  c->out = c->in[0];
  c->op.function = between (r, 0, QK_SOFTMAXES - 1);
  c->op.axis
    = one_in (r, 2) ? c->out.ndim - 1 : between (r, 1, c->out.ndim - 1);
  if (one_in (r, 2)) /* a range that exp is not 0 in */
    c->op.in_q[0].scale = log_uniform (r, 1e-3, 0.3);
  if (one_in (r, 5))
    memset (&c->op.out_q, 0, sizeof c->op.out_q);
  else if (one_in (r, 2))
    c->op.out_q.scale = c->op.function == QK_SOFTMAX ? 1.0f / 256 : 0.05f;
  return result;
}

static int
make_norm (struct kernel_case *c, struct qk_rng *r, int batch)
{
  struct qk_op *op = &c->op;
  const int result = make_elementwise (c, r, batch);
  const int64_t n = c->out.dims[c->out.ndim - 1];

  op->in_channels = n;
  op->groups = 1;
  op->per_sample = one_in (r, 2);
  op->centered = !one_in (r, 3);
  op->eps = one_in (r, 4) ? 0.1f : 1e-5f;
  if (op->per_sample)
    op->groups = one_in (r, 3) ? (int) n : pick_groups (r, (int) n);
  if (one_in (r, 2)) /* numbers about 1 come out */
    op->out_q.scale = one_in (r, 2) ? 0.03125f : 0.02f;
  c->multiplier = malloc (2 * (size_t) n * sizeof *c->multiplier);
  if (c->multiplier == NULL)
    return -1;
  for (int64_t i = 0; i < 2 * n; i++)
    c->multiplier[i] = (float) qk_rng_normal (r);
  op->gamma = c->multiplier;
  op->beta = c->multiplier + n;
  return result;
}

static int
make_lrn (struct kernel_case *c, struct qk_rng *r, int batch)
{
  struct qk_op *op = &c->op;

  op->size = one_in (r, 8) ? QK_LRN_SIZE : 2 * between (r, 0, 6) + 1;
  op->alpha = log_uniform (r, 1e-4, 2);
  op->power = one_in (r, 2) ? 0.75f : log_uniform (r, 0.1, 3);
  op->offset = one_in (r, 2) ? 1.0f : log_uniform (r, 0.1, 3);
  return make_elementwise (c, r, batch);
}

/* ---- the whole --------------------------------------------------------- */

static int
fill_inputs (struct kernel_case *c, struct qk_rng *r)
{
  for (int i = 0; i < c->op.n_in; i++) {
    const size_t per
      = (size_t) (qk_shape_count (&c->in[i]) / c->in[i].dims[0]);
    const size_t count = (size_t) c->n * per;

    if (c->op.kind == QK_OP_QUANTIZE) {
      if (guard_new (&c->data[i], count * 4, one_in (r, 2)) < 0)
        return -1;
      fill_f32 (r, (float *) (void *) c->data[i].data, count,
                c->op.out_q.scale);
    } else if (qk_grid_is_wide (&c->op.in_q[i])) {
      if (guard_new (&c->data[i], count * 2, one_in (r, 2)) < 0)
        return -1;
      fill_u16 (r, (uint16_t *) (void *) c->data[i].data, count,
                &c->op.in_q[i]);
    } else {
      if (guard_new (&c->data[i], count, one_in (r, 2)) < 0)
        return -1;
      fill_u8 (r, c->data[i].data, count, &c->op.in_q[i]);
    }
  }
  return 0;
}

/* How shapes and arrays of each kind are made. */
static int (*const makers[]) (struct kernel_case *c, struct qk_rng *r,
                              int batch)
  = { [QK_OP_CONV2D] = make_conv2d,
      [QK_OP_LINEAR] = make_linear,
      [QK_OP_BINARY] = make_binary,
      [QK_OP_CONCAT] = make_concat,
      [QK_OP_MAXPOOL2D] = make_pool,
      [QK_OP_AVGPOOL2D] = make_pool,
      [QK_OP_CLAMP] = make_elementwise,
      [QK_OP_RESHAPE] = make_elementwise,
      [QK_OP_QUANTIZE] = make_elementwise,
      [QK_OP_DEQUANTIZE] = make_elementwise,
      [QK_OP_REQUANTIZE] = make_elementwise,
      [QK_OP_LINEAR_DYNAMIC] = NULL, /* of the reference backend alone */
      [QK_OP_TABLE] = make_table,
      [QK_OP_TRANSPOSE] = make_transpose,
      [QK_OP_GATHER] = make_gather,
      [QK_OP_RESIZE] = make_resize,
      [QK_OP_PRELU] = make_prelu,
      [QK_OP_REDUCE] = make_reduce,
      [QK_OP_CONV_TRANSPOSE2D] = make_transposed,
      [QK_OP_MATMUL] = make_matmul,
      [QK_OP_SOFTMAX] = make_softmax,
      [QK_OP_NORM] = make_norm,
      [QK_OP_LRN] = make_lrn };

bool
case_exists (enum qk_op_kind kind)
{
  if ((size_t) kind >= sizeof makers / sizeof makers[0])
    abort (); /* a new kind has no cases here */
  return makers[kind] != NULL;
}

int
case_new (struct kernel_case *c, uint64_t seed, uint64_t index,
          enum qk_op_kind kind)
{
  struct qk_op *op = &c->op;
  struct qk_rng r;
  int batch, result = 0;

  memset (c, 0, sizeof *c);
  qk_op_init (op);
  qk_rng_seed (&r, seed, index);
  batch = between (&r, 1, 5);
  c->n = between (&r, 1, batch);
  op->kind = kind;
  op->name = qk_op_kind_name (kind);
  op->n_in = kind == QK_OP_BINARY || kind == QK_OP_MATMUL ? 2 : 1;
  for (int i = 0; i < QK_OP_MAX_INPUTS; i++)
    op->in_q[i] = random_grid (&r);
  op->out_q = random_grid (&r);
  if (kind == QK_OP_MAXPOOL2D || kind == QK_OP_AVGPOOL2D || kind == QK_OP_CLAMP
      || kind == QK_OP_TRANSPOSE || kind == QK_OP_GATHER
      || kind == QK_OP_RESIZE || (kind == QK_OP_CONCAT && one_in (&r, 2)))
    op->out_q = op->in_q[0];
  if (has_wide (kind) && index % 3 == 2)
    widen_grids (&r, op);
  random_bounds (&r, op);
  result = makers[kind](c, &r, batch);
  return result < 0 ? result : fill_inputs (c, &r);
}

int
case_deepest (struct kernel_case *c)
{
  enum { DEPTH = 80000 };
  struct qk_op *op = &c->op;

  memset (c, 0, sizeof *c);
  qk_op_init (op);
  op->kind = QK_OP_LINEAR;
  op->name = "deepest";
  op->n_in = 1;
  op->in_channels = DEPTH;
  op->out_channels = 1;
  op->in_q[0] = (struct qk_qparams){ 0.01f, 128, 0, 255 };
  op->out_q = (struct qk_qparams){ 20.0f, 0, 0, 65535 };
  op->hi = 65535;
  c->n = 1;
  c->in[0] = (struct qk_shape){ 2, { 1, DEPTH } };
  c->out = (struct qk_shape){ 2, { 1, 1 } };
  c->weight = malloc (DEPTH);
  c->bias = calloc (1, sizeof *c->bias);
  c->multiplier = malloc (sizeof *c->multiplier);
  if (c->weight == NULL || c->bias == NULL || c->multiplier == NULL
      || guard_new (&c->data[0], DEPTH, true) < 0)
    return -1;
  memset (c->weight, 127, DEPTH);
  memset (c->data[0].data, 255, DEPTH);
  c->multiplier[0] = 2e-5f;
  op->weight = c->weight;
  op->bias = c->bias;
  op->multiplier = c->multiplier;
  return 0;
}

void
case_free (struct kernel_case *c)
{
  for (int i = 0; i < QK_OP_MAX_INPUTS; i++)
    guard_free (&c->data[i]);
  free (c->weight);
  free (c->bias);
  free (c->multiplier);
  free (c->place);
}

size_t
case_out_bytes (const struct kernel_case *c, int64_t n)
{
  const bool f32 = c->op.kind == QK_OP_DEQUANTIZE
                   || ((c->op.weight != NULL || c->op.kind == QK_OP_SOFTMAX)
                       && c->op.out_q.scale == 0);

  return (size_t) (qk_shape_count (&c->out) / c->out.dims[0] * n)
         * qk_dtype_size (f32 ? QK_F32 : qk_grid_dtype (&c->op.out_q));
}

void
case_print (const struct kernel_case *c)
{
  const struct qk_op *op = &c->op;
  char a[96], b[96];

  if (op->kind == QK_OP_TRANSPOSE)
    for (int i = 0; i < op->axes; i++)
      printf ("%s%d of size %d", i == 0 ? "  axes " : ", ",
              op->order[2 * i + 1], op->order[2 * op->order[2 * i + 1]]);
  if (op->n_in == 2)
    printf ("  function %d, with %s\n", op->function,
            qk_shape_print (&c->in[1], a, sizeof a));
  printf ("  %s %s -> %s, %lld of the batch, grid %d (%d..%d) -> %d (%d..%d)",
          op->name, qk_shape_print (&c->in[0], a, sizeof a),
          qk_shape_print (&c->out, b, sizeof b), (long long) c->n,
          (int) op->in_q[0].zero_point, (int) op->in_q[0].qmin,
          (int) op->in_q[0].qmax, (int) op->out_q.zero_point, (int) op->lo,
          (int) op->hi);
  if (op->kernel_h > 0)
    printf (", window %dx%d stride %d,%d pad %d,%d,%d,%d dilation %d groups "
            "%d",
            op->kernel_h, op->kernel_w, op->stride_h, op->stride_w,
            op->pad_top, op->pad_left, op->pad_bottom, op->pad_right,
            op->dilation_h, op->groups);
  printf ("\n");
}
