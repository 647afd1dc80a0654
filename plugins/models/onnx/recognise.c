/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* recognise.c: hard swish, SiLU, GELU, Mish, masks and biases out
 * of the nodes that exporters make of them. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "look.h"
#include "recognise.h"

/* ---- looking ----------------------------------------------------------------------- */

/* The other input of ND, whose operator has two that can be swapped, where
 * one is the number X; -1. */
static int
beside_number (struct net *n, const struct net_node *nd, double x)
{
  if (nd == NULL || nd->n_in != 2)
    return -1;
  if (is_number (n, nd->in[1], x))
    return nd->in[0];
  return is_number (n, nd->in[0], x) ? nd->in[1] : -1;
}

/* What VALUE divides by X, or multiplies by 1/X; -1. */
static int
divided (struct net *n, int value, double x)
{
  const struct net_node *nd = made_by (n, value, "Div");

  if (nd != NULL && nd->n_in == 2 && is_number (n, nd->in[1], x))
    return nd->in[0];
  return beside_number (n, made_by (n, value, "Mul"), 1 / x);
}

/* x of Clip (x + 3, 0, 6); -1. */
static int
clipped (struct net *n, int value)
{
  struct net_node *clip = made_by (n, value, "Clip");
  double lo, hi;

  if (clip == NULL)
    return -1;
  lo = (double) net_attr_float (clip, "min", -INFINITY);
  hi = (double) net_attr_float (clip, "max", INFINITY);
  if (clip->n_in > 1 && clip->in[1] >= 0)
    net_scalar (n, clip->in[1], &lo);
  if (clip->n_in > 2 && clip->in[2] >= 0)
    net_scalar (n, clip->in[2], &hi);
  return lo == 0 && hi == 6
           ? beside_number (n, made_by (n, clip->in[0], "Add"), 3)
           : -1;
}

/* ---- replacing ---------------------------------------------------------------------- */

static bool
become_unary (struct net *n, struct net_node *nd, const char *op, int x)
{
  return become (n, nd, op, 1, &x);
}

/* ---- patterns, each by its last node --------------------------------------------------- */

/* Clip (x + 3, 0, 6) / 6 */
static bool
hardsigmoid (struct net *n, struct net_node *nd)
{
  const int x = clipped (n, divided (n, nd->out[0], 6));

  return become_unary (n, nd, ".hardsigmoid", x);
}

static bool
is_hardsigmoid (struct net *n, int value, int x)
{
  struct net_node *nd = made_by (n, value, ".hardsigmoid");

  if (nd != NULL)
    return nd->in[0] == x;
  nd = made_by (n, value, "HardSigmoid");
  return nd != NULL && nd->in[0] == x
         && fabsf (net_attr_float (nd, "alpha", 0.2f) - 1.0f / 6) < 1e-5f
         && fabsf (net_attr_float (nd, "beta", 0.5f) - 0.5f) < 1e-5f;
}

/* tanh (softplus (x)) */
static bool
is_mish (struct net *n, int value, int x)
{
  const struct net_node *tanh = made_by (n, value, "Tanh");
  const struct net_node *soft
    = tanh != NULL ? made_by (n, tanh->in[0], "Softplus") : NULL;

  return soft != NULL && soft->in[0] == x;
}

/* x times a function of x */
static bool
gate (struct net *n, struct net_node *nd)
{
  int i;

  if (nd->n_in != 2)
    return false;
  for (i = 0; i < 2; i++) {
    const int x = nd->in[i], f = nd->in[!i];
    const struct net_node *s = made_by (n, f, "Sigmoid");

    if (x < 0 || f < 0)
      continue;
    if (s != NULL && s->in[0] == x)
      return become_unary (n, nd, ".silu", x);
    if (is_hardsigmoid (n, f, x))
      return become_unary (n, nd, ".hardswish", x);
    if (is_mish (n, f, x))
      return become_unary (n, nd, ".mish", x);
  }
  return false;
}

/* x Clip (x + 3, 0, 6) / 6 */
static bool
hardswish (struct net *n, struct net_node *nd)
{
  const struct net_node *mul = made_by (n, divided (n, nd->out[0], 6), "Mul");
  int i;

  for (i = 0; mul != NULL && mul->n_in == 2 && i < 2; i++)
    if (mul->in[i] >= 0 && clipped (n, mul->in[!i]) == mul->in[i])
      return become_unary (n, nd, ".hardswish", mul->in[i]);
  return false;
}

/* x of 1 + erf (x / sqrt (2)); -1. */
static int
erf_of (struct net *n, int value)
{
  const int e = beside_number (n, made_by (n, value, "Add"), 1);
  const struct net_node *erf = made_by (n, e, "Erf");

  return erf != NULL ? divided (n, erf->in[0], sqrt (2)) : -1;
}

/* x (1 + erf (x / sqrt (2))) / 2, multiplied in any order */
static bool
gelu (struct net *n, struct net_node *nd)
{
  const int whole = beside_number (n, nd, 0.5);
  const struct net_node *mul = made_by (n, whole, "Mul");
  int i;

  for (i = 0; mul != NULL && mul->n_in == 2 && i < 2; i++)
    if (mul->in[i] >= 0 && erf_of (n, mul->in[!i]) == mul->in[i])
      return become_unary (n, nd, ".gelu", mul->in[i]);
  for (i = 0; nd->n_in == 2 && i < 2; i++) {
    const int a = nd->in[i], b = nd->in[!i];
    const int half = beside_number (n, made_by (n, a, "Mul"), 0.5);

    if (half >= 0 && erf_of (n, b) == half)
      return become_unary (n, nd, ".gelu", half);
    if (half >= 0 && b >= 0 && erf_of (n, half) == b)
      return become_unary (n, nd, ".gelu", b);
  }
  return false;
}

/* MatMul by a matrix, and a bias */
static bool
bias (struct net *n, struct net_node *nd)
{
  const struct onnx_const *w, *b;
  int side;

  for (side = 0; nd->n_in == 2 && side < 2; side++) {
    const struct net_node *mm = made_by (n, nd->in[side], "MatMul");
    int in[3];

    if (mm == NULL || mm->n_in != 2 || n->value[nd->in[side]].uses != 1
        || net_known (n, mm->in[1], &w) < 0 || w == NULL || w->shape.ndim != 2
        || net_known (n, nd->in[!side], &b) < 0 || b == NULL
        || b->shape.ndim != 1 || b->n != w->shape.dims[1])
      continue;
    in[0] = mm->in[0];
    in[1] = mm->in[1];
    in[2] = nd->in[!side];
    return become (n, nd, "MatMul", 3, in);
  }
  return false;
}

/* ---- masks ------------------------------------------------------------------------------ */

/* What a mask adds at most: e^-100 is nothing beside the terms of a softmax,
 * and on a grid with the scores, which -infinity and -1e9 are not. */
#define MASKED (-100.0f)

/* Whether all that reads VALUE, through views, is softmax. */
static bool
only_for_softmax (const struct net *n, int value, int depth)
{
  int readers = 0, i, k;

  for (i = 0; i < n->n_nodes; i++)
    for (k = 0; k < n->node[i].n_in; k++) {
      const struct net_node *nd = &n->node[i];

      if (nd->gone || nd->in[k] != value || strcmp (nd->op, "Shape") == 0)
        continue;
      readers++;
      if (strcmp (nd->op, "Softmax") != 0
          && !(depth > 0 && k == 0 && only_views (nd)
               && only_for_softmax (n, nd->out[0], depth - 1)))
        return false;
    }
  return readers > 0;
}

/* Whether VALUE is a constant with numbers below MASKED; *C. */
static bool
is_mask (struct net *n, int value, const struct onnx_const **c)
{
  int64_t k;

  if (net_known (n, value, c) < 0 || *c == NULL || !(*c)->real)
    return false;
  for (k = 0; k < (*c)->n; k++)
    if ((*c)->f[k] < MASKED)
      return true;
  return false;
}

/* Input I of ND with nothing below MASKED, if it is a mask. */
static int
limit_mask (struct net *n, struct net_node *nd, int i)
{
  const struct onnx_const *c;
  struct onnx_const *limited;
  int64_t k;
  int r;

  if (!is_mask (n, nd->in[i], &c))
    return 0;
  if ((r = onnx_const_copy (c, &limited)) < 0)
    return r;
  for (k = 0; k < c->n; k++)
    if (c->f[k] < MASKED)
      limited->f[k] = MASKED;
  n->value[nd->in[i]].uses--;
  nd->in[i] = net_add_constant (n, nd->in[i], limited);
  n->value[nd->in[i]].uses++;
  return 0;
}

/* Whether ND, an Add or Where, has a mask among its inputs. */
static bool
has_mask (struct net *n, const struct net_node *nd)
{
  const struct onnx_const *c;

  for (int i = 0; i < nd->n_in; i++)
    if (is_mask (n, nd->in[i], &c))
      return true;
  return false;
}

/* Masks that are added to the scores of SOFTMAX, or take their places. */
static int
limit_masks (struct net *n, const struct net_node *softmax)
{
  int value = softmax->in[0], depth, i, r = 0;

  for (depth = 0; depth < 4 && value >= 0; depth++) {
    const int p = n->value[value].producer;
    struct net_node *nd = p >= 0 ? &n->node[p] : NULL;

    if (nd == NULL || nd->gone || nd->n_in < 1)
      return 0;
    if (strcmp (nd->op, "Add") == 0 || strcmp (nd->op, "Where") == 0) {
      if (!has_mask (n, nd) || !only_for_softmax (n, value, 4))
        return 0;
      for (i = *nd->op == 'W'; i < nd->n_in && r >= 0; i++)
        r = limit_mask (n, nd, i);
      return r;
    }
    if (!only_views (nd))
      return 0;
    value = nd->in[0];
  }
  return 0;
}

static const struct pattern {
  const char *last;
  bool (*find) (struct net *n, struct net_node *nd);
} patterns[] = {
  { "Add", bias },
  { "Div", recognise_norm },
  { "Mul", recognise_norm },
  { "Mul", recognise_norm_weight },
  { "Add", recognise_norm_bias },
  { "Add", recognise_group_norm },
  { "Div", hardswish },
  { "Mul", hardswish },
  { "Div", hardsigmoid },
  { "Mul", hardsigmoid },
  { "Add", recognise_own_scale },
  { "Mul", recognise_own_exponents },
  { "Mul", recognise_own_norm },
  { "Div", recognise_own_softmax },
  { "Mul", gelu },
  { "Mul", gate },
  { "DequantizeLinear", recognise_own_rounded },
};

int
recognise (struct net *n)
{
  size_t k;
  int i, r = 0;

  for (i = 0; i < n->n_nodes; i++)
    for (k = 0; k < sizeof patterns / sizeof *patterns; k++)
      if (!n->node[i].gone && n->node[i].n_out == 1 && n->node[i].out[0] >= 0
          && strcmp (n->node[i].op, patterns[k].last) == 0
          && patterns[k].find (n, &n->node[i]))
        break;
  for (i = 0; i < n->n_nodes && r >= 0; i++)
    if (!n->node[i].gone && strcmp (n->node[i].op, "Softmax") == 0
        && n->node[i].n_in > 0)
      r = limit_masks (n, &n->node[i]);
  return r;
}
