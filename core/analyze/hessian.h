/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hessian.h: how curved the loss is in the weights of each layer. */
#ifndef QK_ANALYZE_HESSIAN_H
#define QK_ANALYZE_HESSIAN_H

#include "graph/graph-priv.h"

struct qk_hessian {
  struct qk_graph *g; /* float, with gradients; weights move and come back */
  int probes;         /* random vectors */
  uint64_t seed;
  /* Add the gradients of the loss, at the parameters as they are, to theirs. */
  int (*gradients) (void *cookie);
  void *cookie;
};

/* Of each node with weights the mean of the diagonal of the Hessian of the loss by
 * these weights, trace / elements, into MEAN, by node; 0 of others.  Hutchinson's
 * estimator, v H v for random v of 1 and -1, as in HAWQ-V2 (Dong et al. 2020,
 * arXiv:1911.03852, section 3.1), with H v from differences of gradients. */
int qk_hessian_traces (const struct qk_hessian *h, double *mean);

#endif /* QK_ANALYZE_HESSIAN_H */
