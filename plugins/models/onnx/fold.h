/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fold.h: what of a network can be computed before it runs. */
#ifndef MODEL_ONNX_FOLD_H
#define MODEL_ONNX_FOLD_H

#include "net.h"

/* Shape of VALUE in the file's axes; false where it is not known yet. */
typedef bool (*fold_shape) (void *cookie, int value, struct qk_shape *out);

/* Compute node ND where all it depends on is known, its outputs becoming
 * constants and itself gone; where it is not, or nothing here computes it,
 * leave it.  Only sentences about damaged constants are errors. */
int fold_node (struct net *n, struct net_node *nd, fold_shape shape,
               void *cookie);

/* The operators that fold_node knows, one after the other; NULL behind the
 * last. */
const char *fold_operator (int i);

#endif /* MODEL_ONNX_FOLD_H */
