/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* folded.h: the weights that nodes quantize: batch-norm folded in. */
#ifndef QK_TRAIN_FOLDED_H
#define QK_TRAIN_FOLDED_H

#include "graph/graph-priv.h"

/* A node's quantized weight. */
struct qk_folded {
  const struct qk_node *node;
  struct qk_param *param;
  int64_t channels, depth; /* output channels, elements of each */
  float *weight;           /* what its quantizer sees; owned, as is */
  float *k; /* of each channel: times the parameter that gives weight */
};

/* Make room for node N of G: 1; 0 where it has no quantized weight, or one that
 * cannot be told.  *OUT belongs to the caller in all cases: qk_folded_clear. */
int qk_folded_init (const struct qk_graph *g, const struct qk_node *n,
                    struct qk_folded *out);
void qk_folded_clear (struct qk_folded *f); /* accepts zeros */

/* Renew weight and k from the parameters of G as they are. */
int qk_folded_take (const struct qk_graph *g, struct qk_folded *f);

#endif /* QK_TRAIN_FOLDED_H */
