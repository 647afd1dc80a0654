/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* norms.c: softmax, normalisations and products of activations as ONNX
 * operators; see norms.h.  Layer norm is written in pieces, which every opset
 * has. */
#include "config.h"

#include <string.h>

#include <qatkit/numeric.h>

#include "norms.h"
#include "onnx-priv.h"
#include "writer.h"

/* ---- pieces ------------------------------------------------------------ */

/* OUT = A (op) B */
static const char *
two (struct onnx_build *b, const char *op, const char *x, const char *y,
     const char *out)
{
  const char *in[2] = { x, y };

  onnx_node (b, op, out, 2, in);
  return out;
}

static const char *
one (struct onnx_build *b, const char *op, const char *x, const char *out)
{
  onnx_node (b, op, out, 1, &x);
  return out;
}

static const char *
turn (struct onnx_build *b, const char *x, const int64_t *order, int axes,
      const char *out)
{
  Onnx__NodeProto *o = onnx_node (b, "Transpose", out, 1, &x);

  onnx_attr_ints (b, o, "perm", order, axes);
  return out;
}

static const int64_t to_theirs[] = { 0, 3, 1, 2 };

/* ---- softmax ----------------------------------------------------------- */

void
onnx_put_softmax (struct onnx_build *b, const struct qk_network_node *n,
                  const struct qk_shape *in, const char *x, const char *raw)
{
  const bool log = n->op->function == QK_LOG_SOFTMAX;
  Onnx__NodeProto *o
    = onnx_node (b, log ? "LogSoftmax" : "Softmax", raw, 1, &x);

  onnx_attr_int (b, o, "axis", onnx_axis (in->ndim, n->op->axis));
}

/* ---- normalisations ---------------------------------------------------- */

/* A number for each channel of N, as the operators want it that match from the
 * last axis on; a float node has it as parameter I, or not at all: NULL. */
static const char *
per_channel (struct onnx_build *b, const struct qk_network_node *n,
             const struct qk_shape *in, int i, const float *kept, bool flat)
{
  const char *name
    = onnx_name (b, "%s.%s", n->name, i == 0 ? "weight" : "bias");
  const int64_t c = n->op->in_channels, dims[3] = { c, 1, 1 };
  const float *data = kept;

  if (!n->quantized && i < n->n_params)
    data = n->param[i].tensor->data;
  if (data == NULL)
    return NULL;
  return onnx_constant (b, name, QK_F32, !flat && in->ndim == 4 ? 3 : 1, dims,
                        data);
}

/* X times N's gamma plus its beta, where it has such, to RAW. */
static void
put_affine (struct onnx_build *b, const struct qk_network_node *n,
            const struct qk_shape *in, const char *x, const char *raw)
{
  const char *gamma = per_channel (b, n, in, 0, n->op->gamma, false);
  const char *beta
    = n->op->centered ? per_channel (b, n, in, 1, n->op->beta, false) : NULL;

  if (gamma == NULL)
    one (b, "Identity", x, raw);
  else if (beta == NULL)
    two (b, "Mul", x, gamma, raw);
  else
    two (b, "Add",
         two (b, "Mul", x, gamma, onnx_name (b, "%s/scaled", n->name)), beta,
         raw);
}

static const char *
mean_of (struct onnx_build *b, const char *x, int64_t axis, const char *out)
{
  Onnx__NodeProto *o = onnx_node (b, "ReduceMean", out, 1, &x);

  onnx_attr_ints (b, o, "axes", &axis, 1);
  onnx_attr_int (b, o, "keepdims", 1);
  return out;
}

/* ---- integers ----------------------------------------------------------
 * The functions of numeric.h, operation by operation: sums of integers are
 * exact in double, so that every program has the same bytes. */

static const char *
cast (struct onnx_build *b, const char *x, enum qk_dtype dtype,
      const char *out)
{
  Onnx__NodeProto *o = onnx_node (b, "Cast", out, 1, &x);

  onnx_attr_int (b, o, "to",
                 dtype == QK_F64   ? ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE
                 : dtype == QK_I64 ? ONNX__TENSOR_PROTO__DATA_TYPE__INT64
                                   : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
  return out;
}

/* X (op) V, both double */
static const char *
by_number (struct onnx_build *b, const char *op, const char *x, double v,
           const char *out)
{
  return two (b, op, x,
              onnx_scalar (b, onnx_name (b, "%s/number", out), QK_F64, &v),
              out);
}

static const char *
sum_of (struct onnx_build *b, const char *x, int64_t axis, const char *out)
{
  const char *in[2] = { x, "" };
  const int64_t axes = 1;

  in[1] = onnx_constant (b, onnx_name (b, "%s/axes", out), QK_I64, 1, &axes,
                         &axis);
  onnx_attr_int (b, onnx_node (b, "ReduceSum", out, 2, in), "keepdims", 1);
  return out;
}

/* Integers X, less their zero point, times the factor of qk_norm_of, less
 * their mean before that if it is subtracted: over COUNT of them along AXIS. */
static const char *
put_exact_norm (struct onnx_build *b, const struct qk_network_node *n,
                const char *x, int64_t axis, int64_t count)
{
  const double s = (double) n->op->in_q[0].scale, c = (double) count;
  const char *name = n->name;
  const char *d = cast (b, x, QK_F64, onnx_name (b, "%s/double", name));
  const char *v = two (b, "Mul", d, d, onnx_name (b, "%s/squares", name));
  const char *sum = NULL, *root;

  v = sum_of (b, v, axis, onnx_name (b, "%s/sum_of_squares", name));
  if (n->op->centered) {
    sum = sum_of (b, d, axis, onnx_name (b, "%s/sum", name));
    v = by_number (b, "Mul", v, c, onnx_name (b, "%s/first", name));
    v = two (b, "Sub", v,
             two (b, "Mul", sum, sum, onnx_name (b, "%s/second", name)),
             onnx_name (b, "%s/spread", name));
  }
  v = by_number (b, "Div", v, n->op->centered ? c * c : c,
                 onnx_name (b, "%s/quotient", name));
  v = by_number (b, "Mul", v, s * s, onnx_name (b, "%s/variance", name));
  v = by_number (b, "Add", v, (double) n->op->eps,
                 onnx_name (b, "%s/more", name));
  root = one (b, "Sqrt", v, onnx_name (b, "%s/deviation", name));
  v = two (b, "Div",
           onnx_scalar (b, onnx_name (b, "%s/step", name), QK_F64, &s), root,
           onnx_name (b, "%s/ratio", name));
  v = cast (b, v, QK_F32, onnx_name (b, "%s/factor", name));
  if (n->op->centered) {
    sum = by_number (b, "Div", sum, c, onnx_name (b, "%s/average", name));
    x = two (b, "Sub", x,
             cast (b, sum, QK_F32, onnx_name (b, "%s/mean", name)),
             onnx_name (b, "%s/centered", name));
  }
  return two (b, "Mul", x, v, onnx_name (b, "%s/normal", name));
}

/* Whether N is one of integers, its result to be put on a grid. */
static bool
is_exact (const struct qk_network_node *n)
{
  return n->quantized && n->op->out_q.scale > 0 && n->op->in_q[0].scale > 0;
}

/* (x - mean) / sqrt (mean of its square + eps) over the channels */
static const char *
put_layer_norm (struct onnx_build *b, const struct qk_network_node *n,
                const struct qk_shape *in, const char *x)
{
  const int64_t axis = onnx_axis (in->ndim, in->ndim - 1);
  const char *v, *eps;

  if (is_exact (n))
    return put_exact_norm (b, n, x, axis, in->dims[in->ndim - 1]);
  if (n->op->centered)
    x = two (b, "Sub", x,
             mean_of (b, x, axis, onnx_name (b, "%s/mean", n->name)),
             onnx_name (b, "%s/centered", n->name));
  v = two (b, "Mul", x, x, onnx_name (b, "%s/squares", n->name));
  v = mean_of (b, v, axis, onnx_name (b, "%s/variance", n->name));
  eps = onnx_scalar (b, onnx_name (b, "%s/eps", n->name), QK_F32, &n->op->eps);
  v = two (b, "Add", v, eps, onnx_name (b, "%s/sum", n->name));
  v = one (b, "Sqrt", v, onnx_name (b, "%s/deviation", n->name));
  return two (b, "Div", x, v, onnx_name (b, "%s/normal", n->name));
}

/* Softmax of integers X along AXIS: qk_softmax_term and qk_softmax_real, the
 * terms being looked up. */
static void
put_exact_softmax (struct onnx_build *b, const struct qk_network_node *n,
                   const char *x, int64_t axis, const char *raw)
{
  const char *name = n->name;
  const int64_t terms = 256;
  int64_t term[256];
  const char *d, *t;
  Onnx__NodeProto *o;

  for (int i = 0; i < 256; i++)
    term[i] = qk_softmax_term (i, n->op->in_q[0].scale);
  d = onnx_name (b, "%s/largest", name);
  o = onnx_node (b, "ReduceMax", d, 1, &x);
  onnx_attr_ints (b, o, "axes", &axis, 1);
  onnx_attr_int (b, o, "keepdims", 1);
  d = two (b, "Sub", d, x, onnx_name (b, "%s/below", name));
  d = cast (b, d, QK_I64, onnx_name (b, "%s/index", name));
  t = onnx_constant (b, onnx_name (b, "%s/exponentials", name), QK_I64, 1,
                     &terms, term);
  t = two (b, "Gather", t, d, onnx_name (b, "%s/terms", name));
  d = sum_of (b, t, axis, onnx_name (b, "%s/sum", name));
  two (b, "Div", cast (b, t, QK_F32, onnx_name (b, "%s/numerator", name)),
       cast (b, d, QK_F32, onnx_name (b, "%s/denominator", name)), raw);
}

/* ---- groups of channels ------------------------------------------------ */

/* The channels of each group as one channel, normalised over a sample; X has
 * the channels as its second axis, of NDIM with sizes DIMS. */
static const char *
put_group_norm (struct onnx_build *b, const struct qk_network_node *n,
                const char *x, int ndim, const int64_t *dims)
{
  const int64_t g = n->op->groups, grouped[3] = { 0, g, -1 };
  float *ones = onnx_alloc (b, (size_t) g * sizeof *ones);
  const char *in[3];
  Onnx__NodeProto *o;

  for (int64_t i = 0; ones != NULL && i < g; i++)
    ones[i] = 1.0f;
  in[0]
    = onnx_put_dims (b, x, 3, grouped, onnx_name (b, "%s/grouped", n->name));
  if (is_exact (n)) {
    int64_t count = 1;

    for (int i = 1; i < ndim; i++)
      count *= dims[i];
    return onnx_put_dims (b, put_exact_norm (b, n, in[0], 2, count / g), ndim,
                          dims, onnx_name (b, "%s/apart", n->name));
  }
  in[1] = onnx_constant (b, onnx_name (b, "%s" ONNX_ONES, n->name), QK_F32, 1,
                         &g, ones);
  in[2] = onnx_constant (b, onnx_name (b, "%s" ONNX_ZEROS, n->name), QK_F32, 1,
                         &g, NULL);
  x = onnx_name (b, "%s/apart", n->name);
  o = onnx_node (b, "InstanceNormalization", x, 3, in);
  onnx_attr_float (b, o, "epsilon", n->op->eps);
  return onnx_put_dims (b, x, ndim, dims, onnx_name (b, "%s/normal", n->name));
}

/* The order that has the channels of NDIM axes second, or back again. */
static void
channels_second (int ndim, bool back, int64_t *order)
{
  for (int i = 1; i < ndim; i++)
    order[i] = back ? i + 1 : i - 1;
  order[0] = 0;
  order[back ? ndim - 1 : 1] = back ? 1 : ndim - 1;
}

static const char *
put_groups (struct onnx_build *b, const struct qk_network_node *n,
            const struct qk_shape *in, const char *x)
{
  int64_t order[QK_MAX_DIMS], dims[QK_MAX_DIMS] = { 0 };

  channels_second (in->ndim, false, order);
  for (int i = 1; i < in->ndim; i++)
    dims[i] = in->dims[order[i]];
  if (in->ndim == 4 || in->ndim == 2)
    return put_group_norm (b, n, x, in->ndim, dims);
  x = turn (b, x, order, in->ndim, onnx_name (b, "%s/turned", n->name));
  x = put_group_norm (b, n, x, in->ndim, dims);
  channels_second (in->ndim, true, order);
  return turn (b, x, order, in->ndim, onnx_name (b, "%s/back", n->name));
}

void
onnx_put_norm (struct onnx_build *b, const struct qk_network_node *n,
               const struct qk_shape *in, const char *x, const char *raw)
{
  x = n->op->per_sample ? put_groups (b, n, in, x)
                        : put_layer_norm (b, n, in, x);
  put_affine (b, n, in, x, raw);
}

int
onnx_put_lrn (struct onnx_build *b, const struct qk_network_node *n,
              const struct qk_shape *in, const char *x, const char *raw)
{
  Onnx__NodeProto *o;

  if (in->ndim != 4)
    return qk_error (
      -ENOTSUP,
      "node '%s': response normalisation of %d dimensions, ONNX "
      "has it for 4",
      n->name, in->ndim);
  o = onnx_node (b, "LRN", raw, 1, &x);
  onnx_attr_float (b, o, "alpha", n->op->alpha);
  onnx_attr_float (b, o, "beta", n->op->power);
  onnx_attr_float (b, o, "bias", n->op->offset);
  onnx_attr_int (b, o, "size", n->op->size);
  return 0;
}

/* ---- products ---------------------------------------------------------- */

/* Input J of N in the order of its axes that MatMul multiplies by. */
static const char *
put_operand (struct onnx_build *b, const struct qk_network_node *n, int j,
             const struct qk_shape *in, const char *x)
{
  const bool turned = j == 0 ? n->op->transpose_a : n->op->transpose_b;
  int64_t order[QK_MAX_DIMS];
  bool same = true;

  for (int i = 0; i < in->ndim; i++) {
    const int ours = turned && i == in->ndim - 2   ? i + 1
                     : turned && i == in->ndim - 1 ? i - 1
                                                   : i;

    order[i] = onnx_axis (in->ndim, ours);
    same = same && order[i] == i;
  }
  return same ? x
              : turn (b, x, order, in->ndim,
                      onnx_name (b, "%s/operand%d", n->name, j));
}

void
onnx_put_matmul (struct onnx_build *b, const struct qk_network_node *n,
                 const struct qk_shape in[2], const char *const x[2],
                 const char *raw)
{
  const bool turns = in[0].ndim == 4, scales = n->op->factor != 1.0f;
  const char *y = onnx_name (b, "%s/product", n->name), *factor;

  y = two (b, "MatMul", put_operand (b, n, 0, &in[0], x[0]),
           put_operand (b, n, 1, &in[1], x[1]), turns || scales ? y : raw);
  if (scales) {
    factor = onnx_scalar (b, onnx_name (b, "%s/factor", n->name), QK_F32,
                          &n->op->factor);
    y = two (b, "Mul", y, factor,
             turns ? onnx_name (b, "%s/scaled", n->name) : raw);
  }
  if (turns)
    turn (b, y, to_theirs, 4, raw);
}

/* ---- nodes ------------------------------------------------------------- */

/* Products of activations, of as many axes each as their result has. */
static void
put_product_of_two (struct writer *w, const struct qk_network_node *n,
                    const char *raw)
{
  const int ndim = value_of (w, n->out)->shape.ndim;
  struct qk_shape s[2];
  const char *x[2];

  for (int j = 0; j < 2; j++) {
    const int more = ndim - value_of (w, n->in[j])->shape.ndim;

    s[j] = value_of (w, n->in[j])->shape;
    x[j] = w->name[n->in[j]];
    if (more == 0)
      continue;
    x[j]
      = onnx_put_axes (w, n, x[j], onnx_name (&w->b, "in%d", j), &s[j], ndim);
    s[j].ndim = ndim;
    for (int i = ndim - 1; i > more; i--)
      s[j].dims[i] = s[j].dims[i - more];
    for (int i = 1; i <= more; i++)
      s[j].dims[i] = 1;
  }
  onnx_put_matmul (&w->b, n, s, x, raw);
}

/* What softmax N reads: on a grid, integers times its scale, the same numbers
 * as DequantizeLinear's, because ONNX Runtime makes one of softmax between
 * two grids that rounds another way. */
static const char *
put_exponents (struct writer *w, const struct qk_network_node *n)
{
  const float scale = value_of (w, n->in[0])->q.scale;
  const char *in[2], *out;

  if (!on_grid (w, n->in[0]) || !on_grid (w, n->out))
    return w->name[n->in[0]];
  out = onnx_name (&w->b, "%s/exponents", n->name);
  in[0] = put_integers (w, n);
  in[1] = onnx_scalar (&w->b, onnx_name (&w->b, "%s/step", n->name), QK_F32,
                       &scale);
  onnx_node (&w->b, "Mul", out, 2, in);
  return out;
}

/* Softmax, normalisations and products of activations. */
int
onnx_put_norms (struct writer *w, const struct qk_network_node *n)
{
  const struct qk_shape *in = &value_of (w, n->in[0])->shape;
  const char *x = w->name[n->in[0]], *raw = raw_name (w, n);
  int r = 0;

  if (n->op->kind == QK_OP_SOFTMAX && is_exact (n)
      && n->op->function == QK_SOFTMAX)
    put_exact_softmax (&w->b, n, put_integers (w, n),
                       onnx_axis (in->ndim, n->op->axis), raw);
  else if (n->op->kind == QK_OP_SOFTMAX)
    onnx_put_softmax (&w->b, n, in, put_exponents (w, n), raw);
  else if (n->op->kind == QK_OP_NORM)
    onnx_put_norm (&w->b, n, in, is_exact (n) ? put_integers (w, n) : x, raw);
  else if (n->op->kind == QK_OP_LRN)
    r = onnx_put_lrn (&w->b, n, in, x, raw);
  else
    put_product_of_two (w, n, raw);
  if (is_exact (n)
      && (n->op->kind == QK_OP_NORM || n->op->kind == QK_OP_SOFTMAX))
    finish_in_steps (w, n, raw);
  else
    finish_node (w, n, raw);
  return r;
}
