/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stage.h: the pieces a run is made of: evaluate, calibrate, train. */
#ifndef QK_TRAIN_STAGE_H
#define QK_TRAIN_STAGE_H

#include "train/monitor.h"
#include "train/objective.h"
#include "train/optimize.h"

/* A network at work, what it is measured by, and the network it imitates. */
struct qk_subject {
  struct qk_exec *ex;
  const struct qk_objective *o;
  unsigned during;         /* enum qk_during: the losses that count */
  struct qk_exec *teacher; /* NULL: none; what needs one is not known */
  /* evaluation: gets the executor after each batch of N samples, in the order of
   * the data set where there is one process; NULL: nobody does */
  int (*take) (void *cookie, const struct qk_exec *ex, int64_t n);
  void *cookie;
};

/* Scores of the network S on all samples of B (epoch 0), at most LIMIT batches
 * if that is not 0; *T, zeroed or of an earlier call, is the sums they are made
 * of.  LABEL names it in the progress.  Several processes
 * (M->comm) each do their part, all learn the whole, and a wish to stop is
 * heard at the end. */
int qk_stage_evaluate (const struct qk_subject *s, struct qk_batches *b,
                       int64_t limit, const char *label, struct qk_monitor *m,
                       struct qk_tally *t, struct qk_scores *out);

/* Post-training calibration: FLOAT_EX runs the fused float graph over LIMIT
 * batches of B, the quantizers of the PREPARED graph with the same nodes see
 * its values; PREPARED's weight quantizers see its weights. */
int qk_stage_calibrate (struct qk_exec *float_ex, struct qk_graph *prepared,
                        struct qk_batches *b, int64_t limit,
                        struct qk_monitor *m);

/* Where training stands; enough, with the parameters, to go on. */
struct qk_position {
  int64_t epoch, batch;  /* the next to be done */
  struct qk_tally tally; /* of the epoch so far */
};

struct qk_train_options {
  const char *label; /* "qat 3/8" */
  uint64_t seed;
  unsigned flags;  /* enum qk_pass_flags besides TRAIN */
  int64_t batches; /* of this epoch */
  int64_t epochs;  /* of the whole stage, for the schedule */

  /* Keep the state within the epoch: whenever POS->batch is a multiple of
   * save_batches, and save_minutes after the last time; 0: not.  The first
   * process decides for all. */
  int64_t save_batches;
  double save_minutes;
  int (*save) (void *cookie); /* NULL: never */
  void *cookie;
};

/* The rest of the epoch POS->epoch.  Several processes (M->comm, also of S's
 * executor) each train on their part of every batch.  -EINTR when asked to
 * stop; POS then says where. */
int qk_stage_train (const struct qk_subject *s, struct qk_optimize *o,
                    struct qk_batches *b, const struct qk_train_options *opt,
                    struct qk_monitor *m, struct qk_position *pos);

#endif /* QK_TRAIN_STAGE_H */
