/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recognise-own.c: what our own files compute on integers so that every program
 * rounds as the int8 network does, as the nodes that it was made of. */
#include "config.h"

#include "look.h"

/* The DequantizeLinear behind VALUE, but for nodes that only change how it is
 * seen; NULL: none, or more than the USES nodes of a pattern read it. */
static struct net_node *
reader_behind (struct net *n, int value, int uses)
{
  while (value >= 0 && n->value[value].producer >= 0
         && n->value[value].uses == uses) {
    struct net_node *nd = &n->node[n->value[value].producer];

    if (strcmp (nd->op, "DequantizeLinear") == 0)
      return made_by (n, value, nd->op);
    if (!only_views (nd))
      return NULL;
    value = nd->in[0];
    uses = 1;
  }
  return NULL;
}

/* The QuantizeLinear behind the integers that DQ reads with scale 1, and which
 * has the same zero point; NULL. */
static const struct net_node *
read_as_one (struct net *n, const struct net_node *dq)
{
  const struct net_node *q = NULL;
  int value = dq->in[0];

  while (value >= 0 && n->value[value].producer >= 0
         && n->value[value].uses == 1) {
    q = &n->node[n->value[value].producer];
    if (!only_views (q))
      break;
    value = q->in[0];
  }
  return q != NULL && strcmp (q->op, "QuantizeLinear") == 0 && q->n_in == 3
             && dq->n_in == 3 && is_number (n, dq->in[1], 1)
             && same_number (n, q->in[2], dq->in[2])
           ? q
           : NULL;
}

/* The vector VALUE, which was integers of TYPE, each with a scale of its own;
 * NULL. */
static const struct onnx_const *
vector_of (struct net *n, int value, int type)
{
  const struct onnx_const *c, *s;
  const struct net_value *v = &n->value[value];

  return value >= 0 && net_known (n, value, &c) == 0 && c != NULL && c->real
             && c->shape.ndim == 1 && v->type == type && v->scale >= 0
             && net_known (n, v->scale, &s) == 0 && s != NULL && s->n == c->n
           ? c
           : NULL;
}

bool
recognise_own_scale (struct net *n, struct net_node *nd)
{
  const struct net_node *mul = made_by (n, nd->in[0], "Mul");
  const struct onnx_const *w, *b;

  if (nd->n_in != 2 || mul == NULL || mul->n_in != 2 || mul->in[0] < 0
      || n->value[nd->in[0]].uses != 1
      || (w = vector_of (n, mul->in[1], ONNX__TENSOR_PROTO__DATA_TYPE__INT8))
           == NULL
      || (b = vector_of (n, nd->in[1], ONNX__TENSOR_PROTO__DATA_TYPE__INT32))
           == NULL
      || b->n != w->n)
    return false;
  return become (n, nd, ".scale", 3,
                 (const int[]){ mul->in[0], mul->in[1], nd->in[1] });
}

bool
recognise_own_exponents (struct net *n, struct net_node *nd)
{
  int side;

  for (side = 0; nd->n_in == 2 && side < 2; side++) {
    const struct net_node *dq = made_by (n, nd->in[side], "DequantizeLinear");
    const struct net_node *q = dq != NULL ? read_as_one (n, dq) : NULL;

    if (q != NULL && n->value[nd->in[side]].uses == 1
        && same_number (n, q->in[1], nd->in[!side]))
      return become (n, nd, "DequantizeLinear", 3,
                     (const int[]){ dq->in[0], q->in[1], dq->in[2] });
  }
  return false;
}

/* The ReduceSum over *AXIS behind VALUE, through at most MOST nodes and their
 * first inputs; its input, or -1. */
static int
sum_behind (struct net *n, int value, int most, int64_t *axis)
{
  while (value >= 0 && n->value[value].producer >= 0 && most-- > 0) {
    struct net_node *nd = &n->node[n->value[value].producer];
    int64_t axes[2];

    if (strcmp (nd->op, "ReduceSum") == 0) {
      if (nd->n_in != 2 || net_ints (n, nd, 1, axes, 2) != 1)
        return -1;
      *axis = axes[0];
      return nd->in[0];
    }
    value = nd->n_in > 0 ? nd->in[0] : -1;
  }
  return -1;
}

/* eps if VALUE is Cast (S / sqrt (… + eps)) of sums of squares over *AXIS; below
 * 0. */
static double
factor_of (struct net *n, int value, double *s, int64_t *axis)
{
  const struct net_node *cast = made_by (n, value, "Cast");
  const struct net_node *div
    = cast != NULL ? made_by (n, cast->in[0], "Div") : NULL;
  const struct net_node *root
    = div != NULL && div->n_in == 2 ? made_by (n, div->in[1], "Sqrt") : NULL;
  const struct net_node *add
    = root != NULL ? made_by (n, root->in[0], "Add") : NULL;
  double eps;
  int squares;

  if (add == NULL || add->n_in != 2 || !net_scalar (n, div->in[0], s)
      || !net_scalar (n, add->in[1], &eps) || !(eps > 0 && eps <= 1)
      || (squares = sum_behind (n, add->in[0], 5, axis)) < 0
      || made_by (n, squares, "Mul") == NULL)
    return -1;
  return eps;
}

/* The reals behind VALUE, which is integers that are read with scale 1 and go
 * to USES nodes: the reader gets their own scale, *S.  -1: they are not, or have
 * another scale than *S, unless that is 0. */
static int
give_scale (struct net *n, int value, int uses, double *s)
{
  struct net_node *dq = reader_behind (n, value, uses);
  const struct net_node *q = dq != NULL ? read_as_one (n, dq) : NULL;
  double scale;

  if (q == NULL || !net_scalar (n, q->in[1], &scale)
      || (*s != 0 && scale != *s))
    return -1;
  *s = scale;
  net_set_inputs (n, dq, (const int[]){ dq->in[0], q->in[1], dq->in[2] }, 3);
  return value;
}

bool
recognise_own_rounded (struct net *n, struct net_node *nd)
{
  static const char *const ops[]
    = { "GlobalAveragePool", "AveragePool", "ReduceMean", "Resize" };
  const struct net_node *q = made_by (n, nd->in[0], "QuantizeLinear");
  const struct net_node *round
    = q != NULL ? made_by (n, q->in[0], "Round") : NULL;
  const struct net_node *op = NULL;
  double s;
  size_t i;

  for (i = 0; round != NULL && op == NULL && i < sizeof ops / sizeof *ops; i++)
    op = made_by (n, round->in[0], ops[i]);
  if (op == NULL || nd->n_in != 3 || q->n_in != 3
      || !is_number (n, q->in[1], 1) || !net_scalar (n, nd->in[1], &s)
      || !same_number (n, q->in[2], nd->in[2])
      || give_scale (n, op->in[0], 1, &s) < 0)
    return false;
  return become (n, nd, ".fake_quantize", 3,
                 (const int[]){ op->out[0], nd->in[1], nd->in[2] });
}

/* x of Cast (largest (x) - x), the largest along *AXIS; -1. */
static int
below_largest (struct net *n, int value, int64_t *axis)
{
  const struct net_node *cast = made_by (n, value, "Cast");
  const struct net_node *sub
    = cast != NULL ? made_by (n, cast->in[0], "Sub") : NULL;
  struct net_node *most = sub != NULL && sub->n_in == 2
                            ? made_by (n, sub->in[0], "ReduceMax")
                            : NULL;
  int64_t axes[2];

  if (most == NULL || most->in[0] != sub->in[1]
      || net_attr_ints (most, "axes", axes, 2) != 1)
    return -1;
  *axis = axes[0];
  return most->in[0];
}

bool
recognise_own_softmax (struct net *n, struct net_node *nd)
{
  const struct net_node *above = made_by (n, nd->in[0], "Cast"), *below;
  const struct net_node *terms
    = above != NULL ? made_by (n, above->in[0], "Gather") : NULL;
  const struct onnx_const *c;
  int64_t axis = 0, other = 0;
  double s = 0;
  int x;

  below = nd->n_in == 2 ? made_by (n, nd->in[1], "Cast") : NULL;
  if (terms == NULL || below == NULL || terms->n_in != 2
      || sum_behind (n, below->in[0], 1, &other) != above->in[0]
      || net_known (n, terms->in[0], &c) < 0 || c == NULL || c->real
      || c->n != 256 || (x = below_largest (n, terms->in[1], &axis)) < 0
      || axis != other || (x = give_scale (n, x, 2, &s)) < 0)
    return false;
  nd->axis = axis;
  return become (n, nd, ".softmax", 1, &x);
}

bool
recognise_own_norm (struct net *n, struct net_node *nd)
{
  int64_t axis = 0, other = 0;
  const struct net_node *sub, *mean;
  double s, eps;
  int side, x;

  for (side = 0; nd->n_in == 2 && side < 2; side++) {
    if ((eps = factor_of (n, nd->in[side], &s, &axis)) < 0)
      continue;
    x = nd->in[!side];
    sub = made_by (n, x, "Sub");
    if (sub != NULL && sub->n_in == 2) {
      mean = made_by (n, sub->in[1], "Cast");
      if (mean == NULL || sum_behind (n, mean->in[0], 2, &other) < 0
          || other != axis)
        return false;
      x = sub->in[0];
    }
    if (give_scale (n, x, 2, &s) < 0)
      return false;
    nd->eps = (float) eps;
    nd->axis = axis;
    return become (n, nd, sub != NULL ? ".layer_norm" : ".rms_norm", 1, &x);
  }
  return false;
}
