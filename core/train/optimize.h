/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* optimize.h: an optimizer and a learning-rate schedule at work on a graph's
 * parameters and its quantizers' parameters. */
#ifndef QK_TRAIN_OPTIMIZE_H
#define QK_TRAIN_OPTIMIZE_H

#include <qatkit/optimizer.h>

#include "graph/graph-priv.h"

/* One array that is trained; value and grad are borrowed. */
struct qk_trained {
  const char *name; /* "features.0.0.weight", "input:observer …" */
  size_t count;
  float *value, *grad;
  bool decay;
  float *slot[QK_OPTIMIZER_MAX_SLOTS]; /* owned */
};

struct qk_optimize {
  struct qk_graph *g; /* borrowed */
  const struct qk_optimizer_class *optimizer;
  void *optimizer_self; /* owned */
  const struct qk_schedule_class *schedule;
  void *schedule_self; /* owned */
  float lr;
  int n_slots;
  int n;
  struct qk_trained *trained; /* owned */
  int64_t t;                  /* steps made */
};

struct qk_optimize_options {
  const struct qk_optimizer_class *optimizer;
  const struct qk_config *optimizer_cfg; /* has "lr" */
  const struct qk_schedule_class *schedule;
  const struct qk_config *schedule_cfg;
  bool decay_all; /* weight decay also on biases and batch-norm */
};

/* For a graph whose gradients exist (an executor in training made them).
 * Configurations are borrowed for the call; free with qk_optimize_free. */
int qk_optimize_new (struct qk_graph *g, const struct qk_optimize_options *opt,
                     struct qk_optimize **out);
void qk_optimize_free (struct qk_optimize *o); /* accepts NULL */

/* Learning rate of the next step, which is TOTAL steps long. */
float qk_optimize_lr (const struct qk_optimize *o, int64_t total,
                      int64_t per_epoch);

/* One step along the gradients, which are then cleared; quantizers with
 * parameters renew their grids. */
int qk_optimize_step (struct qk_optimize *o, int64_t total, int64_t per_epoch);

#endif /* QK_TRAIN_OPTIMIZE_H */
