/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fold-priv.h: what the parts of fold.c share: one call, its constants, and the
 * operators. */
#ifndef MODEL_ONNX_FOLD_PRIV_H
#define MODEL_ONNX_FOLD_PRIV_H

#include "fold.h"

struct call {
  struct net *n;
  struct net_node *nd;
  const struct onnx_const *in[8]; /* NULL: left out */
  fold_shape shape;
  void *cookie;
  struct onnx_const *out[8];
};

/* 1: not now, leave the node to the network. */
#define LEAVE 1

double fold_get (const struct onnx_const *c, int64_t i);
void fold_put (struct onnx_const *c, int64_t i, double x);
int fold_make (struct call *c, bool real, const struct qk_shape *shape);
/* Like IN but for the shape. */
int fold_make_like (struct call *c, const struct onnx_const *in,
                    const struct qk_shape *shape);
void fold_copy_one (struct onnx_const *to, int64_t i,
                    const struct onnx_const *from, int64_t j);
/* Copy all of IN to a new shape of as many elements. */
int fold_reshape_to (struct call *c, const struct onnx_const *in,
                     const struct qk_shape *shape);
/* Integers of input I, or of attribute NAME in older opsets; -1: neither. */
int fold_ints (struct call *c, int i, const char *name, int64_t *out);
/* Where element AT of a tensor of SHAPE is in one that is read with STEP. */
int64_t fold_index (const struct qk_shape *shape, const int64_t *step,
                    int64_t at);
void fold_steps (const struct qk_shape *s, int64_t *step);
/* Steps with which a tensor of shape IN is read as one of shape S. */
bool fold_broadcast_steps (const struct qk_shape *in, const struct qk_shape *s,
                           int64_t *step);
bool fold_broadcast_shape (const struct qk_shape *a, const struct qk_shape *b,
                           struct qk_shape *s);

/* fold-move.c, fold-math.c, fold-product.c: 0, LEAVE, or an error */
int fold_abs (struct call *c);
int fold_add (struct call *c);
int fold_and (struct call *c);
int fold_cast (struct call *c);
int fold_ceil (struct call *c);
int fold_concat (struct call *c);
int fold_cos (struct call *c);
int fold_dequantize (struct call *c);
int fold_div (struct call *c);
int fold_equal (struct call *c);
int fold_erf (struct call *c);
int fold_exp (struct call *c);
int fold_expand (struct call *c);
int fold_flatten (struct call *c);
int fold_floor (struct call *c);
int fold_gather (struct call *c);
int fold_greater (struct call *c);
int fold_greater_equal (struct call *c);
int fold_identity (struct call *c);
int fold_less (struct call *c);
int fold_less_equal (struct call *c);
int fold_log (struct call *c);
int fold_gemm (struct call *c);
int fold_matmul (struct call *c);
int fold_max (struct call *c);
int fold_min (struct call *c);
int fold_mod (struct call *c);
int fold_mul (struct call *c);
int fold_neg (struct call *c);
int fold_not (struct call *c);
int fold_or (struct call *c);
int fold_pow (struct call *c);
int fold_reciprocal (struct call *c);
int fold_reduce_l1 (struct call *c);
int fold_reduce_l2 (struct call *c);
int fold_reduce_max (struct call *c);
int fold_reduce_mean (struct call *c);
int fold_reduce_min (struct call *c);
int fold_reduce_prod (struct call *c);
int fold_reduce_sum (struct call *c);
int fold_relu (struct call *c);
int fold_reshape (struct call *c);
int fold_round (struct call *c);
int fold_scatter_nd (struct call *c);
int fold_sigmoid (struct call *c);
int fold_sign (struct call *c);
int fold_sin (struct call *c);
int fold_slice (struct call *c);
int fold_split (struct call *c);
int fold_sqrt (struct call *c);
int fold_squeeze (struct call *c);
int fold_sub (struct call *c);
int fold_tanh (struct call *c);
int fold_tile (struct call *c);
int fold_transpose (struct call *c);
int fold_unsqueeze (struct call *c);
int fold_where (struct call *c);
int fold_xor (struct call *c);

#endif /* MODEL_ONNX_FOLD_PRIV_H */
