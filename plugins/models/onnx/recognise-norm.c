/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recognise-norm.c: normalisations over channels, their root mean square, and
 * groups of channels out of the nodes that exporters make of them. */
#include "config.h"

#include "look.h"

/* What the layers take for eps. */
#define LEAST_EPS 1e-12

/* ReduceMean over one axis, *AXIS; its input, or -1. */
static int
mean_of (struct net *n, int value, int64_t *axis)
{
  struct net_node *m = made_by (n, value, "ReduceMean");
  int64_t all[2] = { 0, 0 };
  int count;

  if (m == NULL || net_attr_int (m, "keepdims", 1) != 1)
    return -1;
  count = net_attr_ints (m, "axes", all, 2);
  if (count < 0 && m->n_in > 1)
    count = net_ints (n, m, 1, all, 2);
  *axis = all[0];
  return count == 1 ? m->in[0] : -1;
}

/* x of x - mean (x) over *AXIS; -1. */
static int
centred (struct net *n, int value, int64_t *axis)
{
  const struct net_node *sub = made_by (n, value, "Sub");

  return sub != NULL && sub->n_in == 2
             && mean_of (n, sub->in[1], axis) == sub->in[0]
           ? sub->in[0]
           : -1;
}

/* What VALUE is the square of; -1. */
static int
squared (struct net *n, int value)
{
  const struct net_node *nd = made_by (n, value, "Pow");

  if (nd != NULL)
    return nd->n_in == 2 && is_number (n, nd->in[1], 2) ? nd->in[0] : -1;
  nd = made_by (n, value, "Mul");
  return nd != NULL && nd->n_in == 2 && nd->in[0] == nd->in[1] ? nd->in[0]
                                                               : -1;
}

/* What VALUE is the square root of the mean over *AXIS of the squares of, with
 * EPS added; -1. */
static int
deviation_of (struct net *n, int value, int64_t *axis, double *eps)
{
  const struct net_node *root = made_by (n, value, "Sqrt");
  const struct net_node *add
    = root != NULL ? made_by (n, root->in[0], "Add") : NULL;
  int side;

  for (side = 0; add != NULL && add->n_in == 2 && side < 2; side++)
    if (net_scalar (n, add->in[!side], eps))
      return squared (n, mean_of (n, add->in[side], axis));
  return -1;
}

/* What ND divides by VALUE, which is its input SIDE or the reciprocal of that:
 * *VALUE; -1. */
static int
divided_by (struct net *n, const struct net_node *nd, int side, int *value)
{
  const struct net_node *one;

  if (nd->n_in != 2)
    return -1;
  *value = nd->in[side];
  if (strcmp (nd->op, "Div") == 0)
    return side == 1 ? nd->in[0] : -1;
  if ((one = made_by (n, *value, "Reciprocal")) != NULL)
    *value = one->in[0];
  else if ((one = made_by (n, *value, "Div")) != NULL && one->n_in == 2
           && is_number (n, one->in[0], 1))
    *value = one->in[1];
  else
    return -1;
  return nd->in[!side];
}

bool
recognise_norm (struct net *n, struct net_node *nd)
{
  int64_t axis = 0, other = 0;
  double eps = 0;
  int side, by, v, w, x;

  for (side = 0; side < 2; side++) {
    if ((v = divided_by (n, nd, side, &by)) < 0
        || (w = deviation_of (n, by, &axis, &eps)) < 0
        || !(eps >= LEAST_EPS && eps <= 1))
      continue;
    nd->eps = (float) eps;
    nd->axis = axis;
    x = centred (n, v, &other);
    if (x >= 0 && other == axis && centred (n, w, &other) == x
        && other == axis) /* which may be written once or twice */
      return become (n, nd, ".layer_norm", 1, &x);
    if (v == w)
      return become (n, nd, ".rms_norm", 1, &v);
  }
  return false;
}

/* Whether VALUE is a constant with more than one number, and these are along
 * one axis. */
static bool
is_vector (struct net *n, int value)
{
  const struct onnx_const *c;
  int i, axes = 0;

  if (net_known (n, value, &c) < 0 || c == NULL || !c->real)
    return false;
  for (i = 0; i < c->shape.ndim; i++)
    axes += c->shape.dims[i] > 1;
  return axes == 1;
}

/* ND, which joins OP, a normalisation with INPUTS inputs, and a constant: a normalisation
 * with one input more. */
static bool
take (struct net *n, struct net_node *nd, const char *op, int inputs)
{
  const struct net_node *norm;
  int side, in[3];

  for (side = 0; nd->n_in == 2 && side < 2; side++) {
    norm = made_by (n, nd->in[side], op);
    if (norm == NULL || norm->n_in != inputs
        || n->value[nd->in[side]].uses != 1 || !is_vector (n, nd->in[!side]))
      continue;
    memcpy (in, norm->in, (size_t) inputs * sizeof *in);
    in[inputs] = nd->in[!side];
    nd->eps = norm->eps;
    nd->axis = norm->axis;
    return become (n, nd, op, inputs + 1, in);
  }
  return false;
}

bool
recognise_norm_weight (struct net *n, struct net_node *nd)
{
  return take (n, nd, ".layer_norm", 1) || take (n, nd, ".rms_norm", 1);
}

bool
recognise_norm_bias (struct net *n, struct net_node *nd)
{
  return take (n, nd, ".layer_norm", 2);
}

/* The Reshape to axes (N, groups, all else) that makes VALUE, or the integers
 * that *DQ, else NULL, reads as VALUE; *GROUPS.  NULL: none. */
static const struct net_node *
grouping (struct net *n, int value, struct net_node **dq, int64_t *groups)
{
  const struct net_node *nd;
  int64_t dims[4];
  int seen = value;

  *dq = made_by (n, value, "DequantizeLinear");
  if (*dq != NULL)
    seen = (*dq)->n_in == 3 ? (*dq)->in[0] : -1;
  nd = made_by (n, seen, "Reshape");
  if (nd == NULL || nd->n_in != 2 || net_ints (n, nd, 1, dims, 4) != 3
      || dims[1] < 1 || dims[2] != -1)
    return NULL;
  *groups = dims[1];
  return nd;
}

/* Whether VALUE is a constant of COUNT numbers, all X. */
static bool
all_are (struct net *n, int value, int64_t count, float x)
{
  const struct onnx_const *c;
  int64_t i;

  if (net_known (n, value, &c) < 0 || c == NULL || !c->real || c->n != count)
    return false;
  for (i = 0; i < count && c->f[i] == x; i++)
    ;
  return i == count;
}

/* Whether VALUE is the shape of X; known to be that only when it is laid out:
 * a constant. */
static bool
is_shape_of (struct net *n, int value, int x)
{
  const struct net_node *shape = made_by (n, value, "Shape");
  const struct onnx_const *c = NULL;

  if (shape != NULL)
    return shape->in[0] == x;
  return net_known (n, value, &c) == 0 && c != NULL;
}

/* Whether NORM, which some node's result is reshaped of, normalises each of
 * GROUPS second axes; *EPS. */
static bool
normalises_groups (struct net *n, struct net_node *norm, int64_t groups,
                   float *eps)
{
  if (strcmp (norm->op, "InstanceNormalization") == 0) {
    *eps = net_attr_float (norm, "epsilon", 1e-5f);
    return norm->n_in == 3 && all_are (n, norm->in[1], groups, 1)
           && all_are (n, norm->in[2], groups, 0);
  }
  *eps = norm->eps;
  return norm->n_in == 1 && norm->axis == 2;
}

/* The normalisation without weights behind VALUE; NULL. */
static struct net_node *
bare_norm (struct net *n, int value)
{
  struct net_node *norm = made_by (n, value, "InstanceNormalization");

  return norm != NULL ? norm : made_by (n, value, ".layer_norm");
}

/* PyTorch's group norm: the groups as channels of an instance norm that has no
 * weights, and then weight and bias of each channel; or, as our own files have
 * it, the groups' elements as the channels of a layer norm. */
bool
recognise_group_norm (struct net *n, struct net_node *nd)
{
  int side, k;

  for (side = 0; nd->n_in == 2 && side < 2; side++) {
    const struct net_node *mul = made_by (n, nd->in[side], "Mul");

    for (k = 0; mul != NULL && mul->n_in == 2 && k < 2; k++) {
      const struct net_node *back = made_by (n, mul->in[k], "Reshape");
      struct net_node *norm
        = back != NULL && back->n_in == 2 ? bare_norm (n, back->in[0]) : NULL;
      struct net_node *dq = NULL;
      int64_t groups = 0;
      const struct net_node *to
        = norm != NULL ? grouping (n, norm->in[0], &dq, &groups) : NULL;

      if (to == NULL
          || (dq != NULL && norm->op[0] != '.'
              && n->value[norm->in[0]].uses != 1) /* another reads it so */
          || !normalises_groups (n, norm, groups, &nd->eps)
          || !is_shape_of (n, back->in[1], to->in[0])
          || !is_vector (n, mul->in[!k]) || !is_vector (n, nd->in[!side]))
        continue;
      if (dq != NULL) /* it reads them as they were before */
        net_set_inputs (n, dq,
                        (const int[]){ to->in[0], dq->in[1], dq->in[2] }, 3);
      nd->axis = 1;
      nd->groups = groups;
      return become (n, nd, ".group_norm", 4,
                     (const int[]){ dq != NULL ? dq->out[0] : to->in[0],
                                    mul->in[!k], nd->in[!side], back->in[1] });
    }
  }
  return false;
}
