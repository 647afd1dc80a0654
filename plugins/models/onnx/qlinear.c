/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qlinear.c: operators that compute on integers, as the ones on real numbers
 * that they stand for.
 * https://github.com/onnx/onnx/blob/main/docs/Operators.md#QLinearConv
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md */
#include "config.h"

#include <string.h>

#include "qlinear.h"

#define NAME "%.100s"

/* ---- constants ------------------------------------------------------------------ */

/* The constant that input I is; NULL: left out, or none. */
static const struct onnx_const *
known (struct net *n, const struct net_node *nd, int i)
{
  const struct onnx_const *c = NULL;

  if (i >= 0 && i < nd->n_in && net_known (n, nd->in[i], &c) < 0)
    return NULL;
  return c;
}

static int
input (const struct net_node *nd, int i)
{
  return i >= 0 && i < nd->n_in ? nd->in[i] : -1;
}

/* How many elements of C belong to each index of axis AXIS in a row. */
static int64_t
inner_of (const struct onnx_const *c, int axis)
{
  int64_t inner = 1;
  int k;

  for (k = axis + 1; k < c->shape.ndim; k++)
    inner *= c->shape.dims[k];
  return inner;
}

/* Of constants with one scale. */
#define NO_AXIS 0

/* Integers Q as reals, scale (q - zero): a new value in *OUT.  SCALE and ZERO
 * (NULL: 0) have one element, or one for each index of axis AXIS. */
static int
make_real (struct net *n, const struct net_node *nd, int value, int scale,
           int zero, int axis, int *out)
{
  const struct onnx_const *q, *s, *z;
  struct onnx_const *real;
  int64_t i, inner, size;
  int r;

  if ((r = net_known (n, value, &q)) < 0 || (r = net_known (n, scale, &s)) < 0
      || (r = net_known (n, zero, &z)) < 0)
    return r;
  axis = net_axis (axis, q->shape.ndim);
  size = axis >= 0 ? q->shape.dims[axis] : 1;
  inner = axis >= 0 ? inner_of (q, axis) : 1;
  if (q->real || s == NULL || !s->real || (s->n != 1 && s->n != size)
      || (zero >= 0 && (z == NULL || z->real || (z->n != 1 && z->n != size))))
    return net_error (n, nd, -ENOTSUP,
                      "'" NAME "' is of type %s with %lld constant scales, "
                      "expected integers with one scale, or one for each of "
                      "%lld channels",
                      n->value[value].name, onnx_type_name (q->type),
                      s == NULL ? 0LL : (long long) s->n, (long long) size);
  if ((r = onnx_const_new (true, &q->shape, &real)) < 0)
    return r;
  for (i = 0; i < q->n; i++) {
    const int64_t k = i / inner % size;

    real->f[i] = (float) (q->i[i] - (z != NULL ? z->i[z->n > 1 ? k : 0] : 0))
                 * s->f[s->n > 1 ? k : 0];
  }
  *out = net_add_constant (n, value, real);
  n->value[*out].scale = scale;
  n->value[*out].zero = zero;
  n->value[*out].axis = axis;
  n->value[*out].type = q->type;
  return 0;
}

/* A bias in units of the scales of the input, X, and the weights, W. */
static int
make_bias (struct net *n, const struct net_node *nd, int value, int x, int w,
           int *out)
{
  const struct onnx_const *q, *xs, *ws;
  struct onnx_const *real;
  int64_t i;
  int r;

  if ((r = net_known (n, value, &q)) < 0 || (r = net_known (n, x, &xs)) < 0
      || (r = net_known (n, w, &ws)) < 0)
    return r;
  if (q == NULL || q->real || xs == NULL || xs->n != 1 || ws == NULL
      || (ws->n != 1 && ws->n != q->n))
    return net_error (n, nd, -ENOTSUP,
                      "its bias is no constant of integers, one for each of "
                      "its weights' scales");
  if ((r = onnx_const_new (true, &q->shape, &real)) < 0)
    return r;
  for (i = 0; i < q->n; i++)
    real->f[i] = (float) q->i[i] * (xs->f[0] * ws->f[ws->n > 1 ? i : 0]);
  *out = net_add_constant (n, value, real);
  return 0;
}

/* ---- integers that are computed ---------------------------------------------------- */

/* Whether the constants A and B (-1: 0) are the same numbers. */
static bool
same_constant (struct net *n, int a, int b)
{
  double x = 0, y = 0;

  return a == b
         || ((a < 0 || net_scalar (n, a, &x))
             && (b < 0 || net_scalar (n, b, &y)) && x == y);
}

/* Whether ND leaves the integers of its first input on their grid. */
static bool
keeps_grid (const struct net_node *nd)
{
  return net_moves (nd) || strcmp (nd->op, "MaxPool") == 0
         || strcmp (nd->op, "Clip") == 0;
}

/* Whether the constants A and B are scales of the same grid. */
static bool
same_scale (struct net *n, int a, int b)
{
  double x, y;

  return a == b
         || (net_scalar (n, a, &x) && net_scalar (n, b, &y)
             && net_same_scale (x, y));
}

/* Whether VALUE was put on the grid that SCALE and ZERO say. */
static bool
made_with (struct net *n, int value, int scale, int zero)
{
  while (value >= 0 && n->value[value].producer >= 0) {
    const struct net_node *p = &n->node[n->value[value].producer];

    if (p->y_scale >= 0)
      return same_scale (n, p->y_scale, scale)
             && same_constant (n, p->y_zero, zero);
    if (strcmp (p->op, "QuantizeLinear") == 0)
      return same_scale (n, input (p, 1), scale)
             && same_constant (n, input (p, 2), zero);
    if (!keeps_grid (p))
      return false;
    value = input (p, 0);
  }
  return false;
}

/* Whether VALUE is a constant that nodes move which depend on the size of the
 * batch: these move its reals from now on. */
static bool
moved_constant (struct net *n, int value, int scale, int zero)
{
  struct net_node *p = NULL;
  int real;

  while (value >= 0 && n->value[value].producer >= 0) {
    p = &n->node[n->value[value].producer];
    if (!keeps_grid (p)
        || strcmp (p->op, "Clip") == 0) /* its bounds are integers */
      return false;
    value = input (p, 0);
  }
  if (p == NULL || value < 0)
    return false;
  if (n->value[value].scale >= 0) /* of reals already */
    return same_scale (n, n->value[value].scale, scale)
           && same_constant (n, n->value[value].zero, zero);
  if (make_real (n, p, value, scale, zero, NO_AXIS, &real) < 0)
    return false;
  n->value[real].uses++;
  n->value[value].uses--;
  p->in[0] = real;
  return true;
}

/* Inputs AT (integers), AT + 1 (their scale) and AT + 2 (zero point) of ND as one
 * value of reals. */
static int
operand (struct net *n, const struct net_node *nd, int at, int axis, int *out)
{
  const int value = input (nd, at), scale = input (nd, at + 1);

  if (value < 0 || scale < 0)
    return net_error (n, nd, -EBADMSG, "input %d is missing",
                      value < 0 ? at : at + 1);
  if (known (n, nd, at) != NULL)
    return make_real (n, nd, value, scale, input (nd, at + 2), axis, out);
  if (!made_with (n, value, scale, input (nd, at + 2))
      && !moved_constant (n, value, scale, input (nd, at + 2)))
    return net_error (n, nd, -ENOTSUP,
                      "input '" NAME "' is not made with the scale and zero "
                      "point that the node reads it with",
                      n->value[value].name);
  *out = value;
  return 0;
}

/* ---- operators ------------------------------------------------------------------------ */

/* NO: none. */
#define NO -1

/* Inputs are threes of integers, scale and zero point, one or two of them, in
 * front of the result's scale, Y, and zero point. */
static const struct form {
  const char *op, *becomes;
  int operands;
  int axis; /* of the channels of a second operand that is constant */
  int bias, y;
  bool real; /* where Y is left out the result is real */
} forms[] = {
  { "QLinearConv", "Conv", 2, 0, 8, 6, false },
  { "QLinearMatMul", "MatMul", 2, -1, NO, 6, false },
  { "QGemm", "Gemm", 2, 1, 6, 7, true },
  { "QLinearAdd", "Add", 2, NO, NO, 6, false },
  { "QLinearMul", "Mul", 2, NO, NO, 6, false },
  { "QLinearSigmoid", "Sigmoid", 1, NO, NO, 3, false },
  { "QLinearLeakyRelu", "LeakyRelu", 1, NO, NO, 3, false },
  { "QLinearAveragePool", "AveragePool", 1, NO, NO, 3, false },
  { "QLinearGlobalAveragePool", "GlobalAveragePool", 1, NO, NO, 3, false },
};

static int
read_form (struct net *n, struct net_node *nd, const struct form *f)
{
  int in[3], n_in = 0, axis = f->axis, i, r;

  if (nd->n_out != 1 || nd->out[0] < 0 || (input (nd, f->y) < 0 && !f->real))
    return net_error (n, nd, -EBADMSG, "%d inputs, expected %d at least",
                      nd->n_in, f->y + 1);
  if (net_attr_int (nd, "channels_last", 0) != 0)
    return net_error (n, nd, -ENOTSUP, "channels_last is given");
  if (strcmp (f->op, "QGemm") == 0 && net_attr_int (nd, "transB", 0) != 0)
    axis = 0;
  for (i = 0; i < f->operands; i++) {
    if ((r = operand (n, nd, 3 * i, i > 0 ? axis : 0, &in[n_in])) < 0)
      return r;
    n_in++;
  }
  if (input (nd, f->bias) >= 0
      && (r = make_bias (n, nd, input (nd, f->bias), input (nd, 1),
                         input (nd, 4), &in[n_in++]))
           < 0)
    return r;
  nd->on_integers = true;
  nd->y_scale = input (nd, f->y);
  nd->y_zero = input (nd, f->y + 1);
  nd->op = f->becomes;
  net_set_inputs (n, nd, in, n_in);
  return 0;
}

/* QLinearConcat (y scale, y zero point, (x, scale, zero point) …) */
static int
read_concat (struct net *n, struct net_node *nd)
{
  int i, r, value;

  if (nd->n_out != 1 || nd->out[0] < 0 || nd->n_in < 5 || nd->n_in % 3 != 2
      || nd->in[0] < 0)
    return net_error (n, nd, -EBADMSG, "%d inputs", nd->n_in);
  nd->on_integers = true;
  nd->y_scale = nd->in[0];
  nd->y_zero = nd->in[1];
  for (i = 2; i < nd->n_in; i += 3) {
    if (known (n, nd, i) != NULL)
      return net_error (n, nd, -ENOTSUP, "one of its inputs is a constant");
    if ((r = operand (n, nd, i, 0, &value)) < 0)
      return r;
    n->value[value].uses++;
    nd->in[(i - 2) / 3] = value; /* behind us already */
  }
  nd->n_in = (nd->n_in - 2) / 3;
  nd->op = "Concat";
  return 0;
}

/* ---- dynamic quantization ---------------------------------------------------------------- */

/* The product of integers that is behind VALUE, a Cast; NULL: none. */
static struct net_node *
integer_product (struct net *n, int value)
{
  struct net_node *cast = net_made_by (n, value, "Cast"), *p;

  if (cast == NULL)
    return NULL;
  p = net_made_by (n, cast->in[0], "MatMulInteger");
  return p != NULL ? p : net_made_by (n, cast->in[0], "ConvInteger");
}

/* Cast (MatMulInteger (q, W)) (s sw), q and s made of x by DynamicQuantizeLinear,
 * is MatMul (x, W sw): the ranges are those of the data. */
static int
read_dynamic (struct net *n, struct net_node *nd)
{
  int side, in[2], r;

  for (side = 0; nd->n_in == 2 && nd->n_out == 1 && side < 2; side++) {
    struct net_node *p = integer_product (n, nd->in[side]);
    const struct net_node *s = net_made_by (n, nd->in[!side], "Mul");
    const struct net_node *q
      = p == NULL ? NULL : net_made_by (n, p->in[0], "DynamicQuantizeLinear");
    int which;

    if (q == NULL || s == NULL || s->n_in != 2 || q->n_out < 3 || q->out[1] < 0
        || known (n, p, 1) == NULL)
      continue;
    which = s->in[0] == q->out[1];
    if (s->in[!which] != q->out[1])
      continue;
    in[0] = q->in[0];
    if ((r = make_real (n, p, p->in[1], s->in[which], input (p, 3),
                        *p->op == 'C' ? 0 : -1, &in[1]))
        < 0)
      return r;
    nd->op = *p->op == 'C' ? "Conv" : "MatMul";
    net_set_inputs (n, nd, in, 2);
    nd->proto = p->proto; /* its attributes */
    return 0;
  }
  return 0;
}

/* ---- samples on a grid ---------------------------------------------------------------- */

/* Half of the constant VALUE, a new constant; below 0. */
static int
half_of (struct net *n, int value)
{
  const struct onnx_const *c;
  struct onnx_const *half;
  int r = net_known (n, value, &c);

  if (r < 0 || c == NULL || !c->real || c->n != 1)
    return r < 0 ? r : -1;
  if ((r = onnx_const_new (true, &c->shape, &half)) < 0)
    return r;
  half->f[0] = c->f[0] / 2;
  return net_add_constant (n, value, half);
}

/* Node Q, which rounds x (2 / 2 s) to steps of 1, as our own files have it:
 * rounds x to steps of s. */
static void
read_steps_of_one (struct net *n, struct net_node *q)
{
  const struct net_node *mul = net_made_by (n, input (q, 0), "Mul"), *div;
  double number;
  int side, by, scale;

  if (mul == NULL || mul->n_in != 2 || q->n_in != 3 || q->n_out != 1
      || !net_scalar (n, q->in[1], &number) || number != 1)
    return;
  for (side = 0; side < 2; side++) {
    by = mul->in[side];
    div = by >= 0 && n->value[by].producer >= 0
            ? &n->node[n->value[by].producer] /* may be known by now */
            : NULL;
    if (div != NULL && strcmp (div->op, "Div") == 0 && div->n_in == 2
        && net_scalar (n, div->in[0], &number) && number == 2
        && (scale = half_of (n, div->in[1])) >= 0) {
      net_set_inputs (n, q, (const int[]){ mul->in[!side], scale, q->in[2] },
                      3);
      return;
    }
  }
}

int
qlinear (struct net *n)
{
  size_t k;
  int i, r = 0;

  for (i = 0; i < n->n_nodes; i++)
    if (!n->node[i].gone && strcmp (n->node[i].op, "QuantizeLinear") == 0)
      read_steps_of_one (n, &n->node[i]);
  for (i = 0; r == 0 && i < n->n_nodes; i++) {
    struct net_node *nd = &n->node[i];

    if (nd->gone)
      continue;
    for (k = 0; r == 0 && k < sizeof forms / sizeof *forms; k++)
      if (strcmp (forms[k].op, nd->op) == 0) {
        r = read_form (n, nd, &forms[k]);
        break;
      }
    if (r == 0 && strcmp (nd->op, "QLinearConcat") == 0)
      r = read_concat (n, nd);
    else if (r == 0 && strcmp (nd->op, "Mul") == 0)
      r = read_dynamic (n, nd);
  }
  return r;
}
