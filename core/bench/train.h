/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* train.h: how long training steps take, float and QAT, in turns. */
#ifndef QK_BENCH_TRAIN_H
#define QK_BENCH_TRAIN_H

#include "bench/timing.h"
#include "run/session.h"
#include "train/stage.h"

enum qk_bench_part {
  QK_BENCH_FORWARD,
  QK_BENCH_BACKWARD, /* the loss included */
  QK_BENCH_OPTIMIZER,
  QK_BENCH_STEP, /* all of them */
  QK_BENCH_PARTS
};

/* One kind of step. */
struct qk_bench_trainer {
  bool qat; /* else float */

  struct qk_timing part[QK_BENCH_PARTS];
  size_t activations; /* bytes of the executor's block */
  size_t peak;        /* bytes of the process at most, 0 if unknown */
  double macs;        /* of a step: forward, gradients by input and weight */
  double traffic;     /* bytes a step has to move at least: each activation
                         once for every node that reads or writes it, each
                         parameter once in every part */
  /* while measuring */
  struct qk_graph *g;
  struct qk_exec *ex;
  struct qk_objective *objective;
  struct qk_exec_loss loss[QK_OBJECTIVE_AT_WORK];
  struct qk_optimize *o;
};

void qk_bench_trainer_clear (struct qk_bench_trainer *t);

struct qk_bench_train_options {
  int threads;
  double seconds; /* to measure each for, at least, and three steps */
  int64_t runs;   /* steps of each instead, if not 0 */
};

/* Time steps of the N trainers on one batch DATA of D, in turns: batch
 * statistics and observers on, the optimizer of QAT.  Memory is taken before
 * that, with each alone.  -EINTR when stopped. */
int qk_bench_train (struct qk_settings *settings, const struct qk_data *d,
                    const struct qk_batch *data, struct qk_bench_trainer *t,
                    int n, const struct qk_bench_train_options *opt,
                    struct qk_monitor *m);

#endif /* QK_BENCH_TRAIN_H */
