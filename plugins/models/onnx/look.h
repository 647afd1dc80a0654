/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* look.h: what patterns of nodes are looked for and replaced with. */
#ifndef ONNX_LOOK_H
#define ONNX_LOOK_H

#include <math.h>
#include <string.h>

#include "net.h"

/* The node of operator OP that makes VALUE; NULL if another makes it, or if it
 * is rounded to a grid. */
static inline struct net_node *
made_by (struct net *n, int value, const char *op)
{
  struct net_node *nd = net_made_by (n, value, op);

  return nd != NULL && !nd->on_integers ? nd : NULL;
}

static inline bool
is_number (struct net *n, int value, double x)
{
  double y;

  return net_scalar (n, value, &y) && fabs (x - y) <= 1e-3 * fabs (x) + 1e-7;
}

static inline bool
same_number (struct net *n, int a, int b)
{
  double x, y;

  return net_scalar (n, a, &x) && net_scalar (n, b, &y) && x == y;
}

/* Whether ND only changes how a tensor is seen. */
static inline bool
only_views (const struct net_node *nd)
{
  static const char *const ops[]
    = { "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Cast" };

  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
    if (strcmp (nd->op, ops[i]) == 0)
      return true;
  return false;
}

/* ND computes OP of the values IN instead; false, and it stays as it is, where
 * one of them is left out. */
static inline bool
become (struct net *n, struct net_node *nd, const char *op, int n_in,
        const int *in)
{
  int i;

  for (i = 0; i < n_in; i++)
    if (in[i] < 0)
      return false;
  net_set_inputs (n, nd, in, n_in);
  nd->op = op;
  nd->proto = NULL;
  return true;
}

/* ---- recognise-norm.c: patterns by their last node ----------------------- */

/* (x - mean) / sqrt (variance + eps), and the same without the mean. */
bool recognise_norm (struct net *n, struct net_node *nd);
/* Its product with a constant for each channel. */
bool recognise_norm_weight (struct net *n, struct net_node *nd);
/* The sum of that and another. */
bool recognise_norm_bias (struct net *n, struct net_node *nd);
/* That of groups of channels, times a constant for each channel plus another. */
bool recognise_group_norm (struct net *n, struct net_node *nd);

/* ---- recognise-own.c: what our own files have, by its last node ----------- */

/* A product with int8 weights of the last axis, plus int32 biases. */
bool recognise_own_scale (struct net *n, struct net_node *nd);
/* The mean of integers, or what lies between them, rounded to even: between QuantizeLinear and
 * DequantizeLinear of scale s and 1, and back. */
bool recognise_own_rounded (struct net *n, struct net_node *nd);
/* What a softmax reads: between QuantizeLinear of scale s and DequantizeLinear
 * of 1, and times s. */
bool recognise_own_exponents (struct net *n, struct net_node *nd);
/* Softmax of integers: e^(x - largest), looked up, and divided by their sum. */
bool recognise_own_softmax (struct net *n, struct net_node *nd);
/* Integers, which may be less their mean, times s / sqrt (variance + eps), that
 * being computed in double. */
bool recognise_own_norm (struct net *n, struct net_node *nd);

#endif /* ONNX_LOOK_H */
