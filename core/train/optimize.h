/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* optimize.h: an optimizer and a learning-rate schedule at work on a graph's
 * parameters and its quantizers' parameters. */
#ifndef QK_TRAIN_OPTIMIZE_H
#define QK_TRAIN_OPTIMIZE_H

#include <qatkit/optimizer.h>

#include "train/ema.h"
#include "train/oscillation.h"

/* Parameters that move with the same options. */
struct qk_optimize_group {
  const struct qk_config *cfg; /* of the optimizer; has "lr" */
  bool decay_all;              /* weight decay also on biases and batch-norm */
  bool decay_learned;          /* … and on what quantizers learn */
  const struct qk_optimizer_class *optimizer; /* NULL: that of the options */
};

/* What is done to gradients before a step; zeros: nothing. */
struct qk_gradients {
  float clip_value; /* see clip.h; 0: not */
  double clip_norm;
  int64_t accumulate; /* batches of a step; 0 and 1: one */
  int64_t batch;      /* with more: samples of a full one, of all processes */
};

/* A group at work. */
struct qk_optimize_part {
  const struct qk_optimizer_class *optimizer;
  void *self; /* of the optimizer; owned */
  float lr;
  int n_slots;
  bool decay_all, decay_learned;
};

/* One array that is trained; value and grad are borrowed. */
struct qk_trained {
  const char *name; /* "features.0.0.weight", "input:observer …" */
  int part;
  size_t count;
  float *value, *grad;
  bool decay;
  float *slot[QK_OPTIMIZER_MAX_SLOTS]; /* owned */
};

struct qk_optimize {
  struct qk_graph *g; /* borrowed */
  int n_parts;
  struct qk_optimize_part *part; /* owned */
  const struct qk_schedule_class *schedule;
  void *schedule_self; /* owned */
  int n;
  struct qk_trained *trained; /* owned */
  int64_t t;                  /* steps made */
  double warmup;              /* epochs of linear rise */
  struct qk_gradients gradients;
  int64_t gathered;   /* batches whose gradients wait for the next step */
  int64_t samples;    /* of them */
  struct qk_ema *ema; /* NULL: none; owned */
  struct qk_oscillation *oscillation; /* NULL: nobody asks; owned */
};

struct qk_optimize_options {
  const struct qk_optimizer_class *optimizer;
  int n_groups; /* at least one: that of most parameters */
  const struct qk_optimize_group *group;
  /* The group of the parameter NAME, which files call FILE, or (FILE NULL) of
   * what the quantizer NAME learns; NULL: the only one. */
  int (*group_of) (void *cookie, const char *name, const char *file);
  void *cookie;
  const struct qk_schedule_class *schedule;
  const struct qk_config *schedule_cfg;
  double
    warmup; /* epochs in which the learning rate rises to what the schedule
                    begins with; it counts its steps from there */
  struct qk_gradients gradients;
  double ema; /* the decay of an average of the network; 0: none */
  struct qk_oscillation_options oscillation;
};

/* For a graph whose gradients exist (an executor in training made them);
 * frozen parameters are left alone.  Configurations are borrowed for the call;
 * free with qk_optimize_free. */
int qk_optimize_new (struct qk_graph *g, const struct qk_optimize_options *opt,
                     struct qk_optimize **out);
void qk_optimize_free (struct qk_optimize *o); /* accepts NULL */

/* The steps of an epoch of BATCHES. */
int64_t qk_optimize_steps (const struct qk_optimize *o, int64_t batches);

/* Learning rate of the next step of most parameters, in TOTAL steps. */
float qk_optimize_lr (const struct qk_optimize *o, int64_t total,
                      int64_t per_epoch);

/* Before the forward of a batch of SAMPLES, of all processes: the weight of
 * its loss in the step, and a number for its random numbers.  COMM sums up
 * gradients: what was gathered counts in the first process alone. */
struct qk_batch_part {
  double weight;
  uint64_t number;
};
struct qk_batch_part qk_optimize_begin (struct qk_optimize *o, int64_t samples,
                                        struct qk_comm *comm);

/* After its backward.  Whether the step is due. */
bool qk_optimize_gathered (struct qk_optimize *o, int64_t samples);

/* One step along the gradients, which are then cleared; quantizers with
 * parameters renew their grids. */
int qk_optimize_step (struct qk_optimize *o, int64_t total, int64_t per_epoch);

/* The grids of weights and values are other ones from now on: what is averaged,
 * and counted of integers, begins anew; slots of the optimizer stay. */
void qk_optimize_new_grids (struct qk_optimize *o);

/* Tell a schedule that wants to know the score of an epoch. */
void qk_optimize_epoch (struct qk_optimize *o, double score,
                        bool larger_is_better);

#endif /* QK_TRAIN_OPTIMIZE_H */
