/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fold-math.c: arithmetic with constants, comparisons, and reductions. */
#include "config.h"

#include <math.h>

#include "fold-priv.h"

/* ---- arithmetic --------------------------------------------------------------------- */

enum function {
  ADD,
  SUB,
  MUL,
  DIV,
  MOD,
  POW,
  MIN,
  MAX,
  EQUAL,
  LESS,
  GREATER,
  LESS_EQUAL,
  GREATER_EQUAL,
  AND,
  OR,
  XOR
};

static double
real_of (enum function f, double a, double b)
{
  switch (f) {
  case ADD:
    return a + b;
  case SUB:
    return a - b;
  case MUL:
    return a * b;
  case DIV:
    return a / b;
  case MOD:
    return a - floor (a / b) * b;
  case POW:
    return pow (a, b);
  case MIN:
    return a < b ? a : b;
  case MAX:
    return a > b ? a : b;
  case EQUAL:
    return a == b;
  case LESS:
    return a < b;
  case GREATER:
    return a > b;
  case LESS_EQUAL:
    return a <= b;
  case GREATER_EQUAL:
    return a >= b;
  case AND:
    return a != 0 && b != 0;
  case OR:
    return a != 0 || b != 0;
  case XOR:
    return (a != 0) != (b != 0);
  }
  return 0;
}

/* Of integers, wrapping as those of the file do. */
static int64_t
integer_of (enum function f, int64_t a, int64_t b)
{
  switch (f) {
  case ADD:
    return (int64_t) ((uint64_t) a + (uint64_t) b);
  case SUB:
    return (int64_t) ((uint64_t) a - (uint64_t) b);
  case MUL:
    return (int64_t) ((uint64_t) a * (uint64_t) b);
  case DIV:
    return b == 0 || (b == -1 && a == INT64_MIN) ? 0 : a / b;
  case MOD:
    return b == 0 || b == -1 ? 0 : (a % b + b) % b;
  default:
    return (int64_t) real_of (f, (double) a, (double) b);
  }
}

static int
binary (struct call *c, enum function f)
{
  const struct onnx_const *a = c->in[0], *b = c->in[1];
  const bool compares = f >= EQUAL;
  struct qk_shape s;
  int64_t sa[QK_MAX_DIMS], sb[QK_MAX_DIMS], i;
  int r;

  if (c->nd->n_in != 2 || a->real != b->real
      || net_attr_int (c->nd, "fmod", 0) != 0
      || !fold_broadcast_shape (&a->shape, &b->shape, &s)
      || !fold_broadcast_steps (&a->shape, &s, sa)
      || !fold_broadcast_steps (&b->shape, &s, sb))
    return LEAVE;
  if ((r = fold_make (c, a->real && !compares, &s)) != 0)
    return r;
  c->out[0]->type
    = compares ? (int) ONNX__TENSOR_PROTO__DATA_TYPE__BOOL : a->type;
  for (i = 0; i < c->out[0]->n; i++) {
    const int64_t x = fold_index (&s, sa, i), y = fold_index (&s, sb, i);

    if (c->out[0]->real)
      c->out[0]->f[i]
        = (float) real_of (f, (double) a->f[x], (double) b->f[y]);
    else if (a->real)
      c->out[0]->i[i] = real_of (f, (double) a->f[x], (double) b->f[y]) != 0;
    else
      c->out[0]->i[i] = integer_of (f, a->i[x], b->i[y]);
  }
  return 0;
}

#define BINARY(name, f)                                                       \
  int fold_##name (struct call *c) { return binary (c, f); }
BINARY (add, ADD)
BINARY (sub, SUB)
BINARY (mul, MUL)
BINARY (div, DIV)
BINARY (mod, MOD)
BINARY (pow, POW)
BINARY (min, MIN)
BINARY (max, MAX)
BINARY (equal, EQUAL)
BINARY (less, LESS)
BINARY (greater, GREATER)
BINARY (less_equal, LESS_EQUAL)
BINARY (greater_equal, GREATER_EQUAL)
BINARY (and, AND)
BINARY (or, OR)
BINARY (xor, XOR)

int
fold_where (struct call *c)
{
  const struct onnx_const *q = c->in[0], *a = c->in[1], *b = c->in[2];
  int64_t sq[QK_MAX_DIMS], sa[QK_MAX_DIMS], sb[QK_MAX_DIMS], i;
  struct qk_shape ab, s;
  int r;

  if (a->real != b->real || !fold_broadcast_shape (&a->shape, &b->shape, &ab)
      || !fold_broadcast_shape (&q->shape, &ab, &s)
      || !fold_broadcast_steps (&q->shape, &s, sq)
      || !fold_broadcast_steps (&a->shape, &s, sa)
      || !fold_broadcast_steps (&b->shape, &s, sb))
    return LEAVE;
  r = fold_make_like (c, a, &s);
  for (i = 0; r == 0 && i < c->out[0]->n; i++)
    if (fold_get (q, fold_index (&s, sq, i)) != 0)
      fold_copy_one (c->out[0], i, a, fold_index (&s, sa, i));
    else
      fold_copy_one (c->out[0], i, b, fold_index (&s, sb, i));
  return r;
}

static int
unary (struct call *c, double (*f) (double))
{
  const struct onnx_const *in = c->in[0];
  int64_t i;
  int r = fold_make_like (c, in, &in->shape);

  for (i = 0; r == 0 && i < in->n; i++)
    fold_put (c->out[0], i, f (fold_get (in, i)));
  return r;
}

static double
negative (double x)
{
  return -x;
}

static double
reciprocal (double x)
{
  return 1 / x;
}

static double
sigmoid (double x)
{
  return 1 / (1 + exp (-x));
}

static double
negation (double x)
{
  return x == 0;
}

static double
rectified (double x)
{
  return x > 0 ? x : 0;
}

static double
sign_of (double x)
{
  return x > 0 ? 1 : x < 0 ? -1 : 0;
}

#define UNARY(name, f)                                                        \
  int fold_##name (struct call *c) { return unary (c, f); }
UNARY (neg, negative)
UNARY (abs, fabs)
UNARY (sqrt, sqrt)
UNARY (exp, exp)
UNARY (log, log)
UNARY (floor, floor)
UNARY (ceil, ceil)
UNARY (round, rint)
UNARY (erf, erf)
UNARY (reciprocal, reciprocal)
UNARY (sigmoid, sigmoid)
UNARY (tanh, tanh)
UNARY (sin, sin)
UNARY (cos, cos)
UNARY (not, negation)
UNARY (relu, rectified)
UNARY (sign, sign_of)

/* ---- reductions ----------------------------------------------------------------------- */

static int
reduce (struct call *c, int kind)
{
  const struct onnx_const *in = c->in[0];
  struct qk_shape s = in->shape, kept;
  int64_t axes[QK_MAX_DIMS], own[QK_MAX_DIMS], count = 1, i;
  bool gone[QK_MAX_DIMS] = { false };
  const bool keep = net_attr_int (c->nd, "keepdims", 1) != 0;
  int k, r, n = fold_ints (c, 1, "axes", axes);
  struct onnx_const *out;

  for (k = 0; k < (n < 0 ? s.ndim : n); k++) {
    const int a = n < 0 ? k : net_axis (axes[k], s.ndim);

    if (a < 0)
      return LEAVE;
    gone[a] = true;
    count *= s.dims[a];
    s.dims[a] = 1;
  }
  if ((r = fold_make_like (c, in, &s)) != 0)
    return r;
  out = c->out[0];
  fold_steps (&s, own);
  for (k = 0; k < s.ndim; k++)
    own[k] = gone[k] ? 0 : own[k];
  for (i = 0; i < out->n; i++)
    fold_put (out, i,
              kind == 'p'   ? 1
              : kind == 'x' ? -HUGE_VAL
              : kind == 'n' ? HUGE_VAL
                            : 0);
  if (!in->real && (kind == 'x' || kind == 'n'))
    for (i = 0; i < out->n; i++)
      out->i[i] = kind == 'x' ? INT64_MIN : INT64_MAX;
  for (i = 0; i < in->n; i++) {
    const int64_t to = fold_index (&in->shape, own, i);
    const double x = fold_get (in, i), y = fold_get (out, to);

    fold_put (out, to,
              kind == 'p'   ? y * x
              : kind == 'x' ? (x > y ? x : y)
              : kind == 'n' ? (x < y ? x : y)
              : kind == '1' ? y + fabs (x)
              : kind == '2' ? y + x * x
                            : y + x);
  }
  for (i = 0; kind == '2' && i < out->n; i++)
    fold_put (out, i, sqrt (fold_get (out, i)));
  for (i = 0; kind == 'm' && i < out->n; i++)
    fold_put (out, i, fold_get (out, i) / (double) count);
  kept.ndim = 0;
  for (k = 0; k < s.ndim; k++)
    if (keep || !gone[k])
      kept.dims[kept.ndim++] = s.dims[k];
  out->shape = kept;
  return 0;
}

#define REDUCE(name, kind)                                                    \
  int fold_reduce_##name (struct call *c) { return reduce (c, kind); }
REDUCE (prod, 'p')
REDUCE (sum, 's')
REDUCE (max, 'x')
REDUCE (min, 'n')
REDUCE (mean, 'm')
REDUCE (l1, '1')
REDUCE (l2, '2')

/* ---- foreign quantization -------------------------------------------------------------- */

/* Which of the scales belongs to an element. */
struct steps_at {
  int axis;
  int64_t size, inner; /* scales; elements that have one, in a row */
};

/* Where the scales of C, input 1, belong; false: nowhere, or the zero points,
 * input 2, are others. */
static bool
find_steps (struct call *c, struct steps_at *at)
{
  const struct onnx_const *in = c->in[0], *scale = c->in[1], *zero = c->in[2];
  int k;

  at->axis = net_axis (net_attr_int (c->nd, "axis", 1), in->shape.ndim);
  at->size = scale->n;
  at->inner = 1;
  if (scale->n > 1) {
    if (at->axis < 0 || scale->n != in->shape.dims[at->axis])
      return false;
    for (k = at->axis + 1; k < in->shape.ndim; k++)
      at->inner *= in->shape.dims[k];
  }
  return scale->n > 0
         && (zero == NULL || (zero->n == scale->n && !zero->real));
}

static int64_t
steps_index (const struct steps_at *at, int64_t i)
{
  return at->size > 1 ? i / at->inner % at->size : 0;
}

int
fold_dequantize (struct call *c)
{
  const struct onnx_const *in = c->in[0], *scale = c->in[1], *zero = c->in[2];
  struct steps_at at;
  int64_t i;
  int r;

  if (in->real || !scale->real || net_attr_int (c->nd, "block_size", 0) != 0
      || !find_steps (c, &at))
    return LEAVE;
  r = fold_make (c, true, &in->shape);
  for (i = 0; r == 0 && i < in->n; i++) {
    const int64_t s = steps_index (&at, i);

    c->out[0]->f[i]
      = (float) (in->i[i] - (zero != NULL ? zero->i[s] : 0)) * scale->f[s];
  }
  if (r == 0 && c->nd->out[0] >= 0) {
    c->n->value[c->nd->out[0]].scale = c->nd->in[1];
    c->n->value[c->nd->out[0]].zero = c->nd->n_in > 2 ? c->nd->in[2] : -1;
    c->n->value[c->nd->out[0]].axis = at.axis;
    c->n->value[c->nd->out[0]].type = in->type;
  }
  return r;
}

int
fold_quantize (struct call *c)
{
  const struct onnx_const *in = c->in[0], *scale = c->in[1], *zero = c->in[2];
  const int type
    = zero != NULL ? zero->type : ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
  const int lo = type == ONNX__TENSOR_PROTO__DATA_TYPE__INT8 ? -128 : 0;
  struct steps_at at;
  int64_t i;
  int r;

  if (!in->real || !scale->real || net_attr_int (c->nd, "block_size", 0) != 0
      || net_attr_int (c->nd, "output_dtype", 0) != 0
      || (type != ONNX__TENSOR_PROTO__DATA_TYPE__UINT8
          && type != ONNX__TENSOR_PROTO__DATA_TYPE__INT8)
      || !find_steps (c, &at))
    return LEAVE;
  if ((r = fold_make (c, false, &in->shape)) != 0)
    return r;
  c->out[0]->type = type;
  for (i = 0; i < in->n; i++) {
    const int64_t s = steps_index (&at, i);
    const double x = rint ((double) (in->f[i] / scale->f[s]))
                     + (zero != NULL ? (double) zero->i[s] : 0.0);

    c->out[0]->i[i] = x >= lo + 255 ? lo + 255 : x >= lo ? (int64_t) x : lo;
  }
  return 0;
}
