/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* normstats.h: batch-norm statistics estimated anew. */
#ifndef QK_TRAIN_NORMSTATS_H
#define QK_TRAIN_NORMSTATS_H

#include "data/batches.h"
#include "exec/exec.h"
#include "train/monitor.h"

struct qk_anew_options {
  const char *label; /* "statistics 3/8" */
  uint64_t seed;     /* of dropout */
  int64_t epoch;     /* whose samples, */
  int64_t limit;     /* of so many batches */
};

/* Batch-norm's running statistics in G, which EX runs in training, become the
 * mean over the first batches of an epoch of B (Nagel et al. 2022,
 * arXiv:2203.11086, section 4.2):
 *   mean = 1/N sum_i mean_i,  var = 1/N sum_i var_i
 * with mean_i and the unbiased var_i those of batch i of all processes
 * (M->comm, also of EX).  Quantizers are at work and do not move, and neither
 * do weights; frozen statistics stay.  Weights with a scale for each channel
 * keep their integers: the scale follows the deviation that batch-norm divides
 * by.  Nothing is done where G has no statistics.  -EINTR when asked to stop;
 * G is then as it was. */
int qk_stats_anew (struct qk_graph *g, struct qk_exec *ex,
                   struct qk_batches *b, const struct qk_anew_options *opt,
                   struct qk_monitor *m);

#endif /* QK_TRAIN_NORMSTATS_H */
