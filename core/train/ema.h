/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ema.h: an exponential moving average of a network in training: of its
 * parameters, its statistics, and what its quantizers learn. */
#ifndef QK_TRAIN_EMA_H
#define QK_TRAIN_EMA_H

#include "graph/graph-priv.h"

struct qk_ema_array {
  const char *name; /* of the parameter or quantizer; borrowed */
  size_t count;
  const float *value; /* as it is now; borrowed */
  float *mean;        /* owned */
};

struct qk_ema {
  double decay;
  int n, params;              /* arrays; those that are no quantizers' */
  struct qk_ema_array *array; /* owned: parameters in the graph's order, then
                                 those of quantizers */
};

/* Begin with G as it is; frozen parameters are left out.  It needs as much
 * memory as they do.  G is borrowed; free with qk_ema_free. */
int qk_ema_new (struct qk_graph *g, double decay, struct qk_ema **out);
void qk_ema_free (struct qk_ema *e); /* accepts NULL */

/* Begin again with the network as it is now. */
void qk_ema_restart (struct qk_ema *e);

/* After a step: mean <- mean + (1 - decay) (value - mean), in float32.  FIRST: it
 * was the first one; what quantizers learn, which the first batch gave its first
 * values, begins with what it is now. */
void qk_ema_update (struct qk_ema *e, bool first, int threads);

/* Put the averages into TO, which has the structure of G (and may be it). */
int qk_ema_apply (const struct qk_ema *e, struct qk_graph *to);

#endif /* QK_TRAIN_EMA_H */
