/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* oscillation.h: weights that flip between two integers (Nagel et al. 2022,
 * arXiv:2203.11086): counted, damped, frozen. */
#ifndef QK_TRAIN_OSCILLATION_H
#define QK_TRAIN_OSCILLATION_H

#include "train/folded.h"

/* A weight oscillates whose frequency is above this (section 5 there). */
#define QK_OSCILLATES 0.005f

struct qk_oscillation_options {
  bool watch;      /* count; damping and freezing do so anyway */
  double momentum; /* m, of frequencies and means */
  double damping;  /* lambda at the end; 0: none */
  double freeze;   /* the frequency above which a weight is frozen, at the end
                      and */
  double freeze_start; /* at the beginning; 0: never */
};

/* One weight tensor.  Arrays have an element for each weight, are kept in
 * checkpoints and owned. */
struct qk_oscillating {
  struct qk_folded folded;
  int64_t count;
  int8_t *now;      /* its integers; owned, as is all below */
  int8_t *last;     /* those before this step */
  int8_t *turn;     /* the sign of the last change; 0: none yet */
  int8_t *frozen;   /* whether it is, at the integer in last */
  float *frequency; /* f <- m o + (1 - m) f, o: it has changed back */
  float *mean;      /* of the integer, the same way */
};

struct qk_oscillation {
  struct qk_oscillation_options opt;
  int n;
  struct qk_oscillating *weight; /* owned */
  int32_t begun;                 /* last and mean are of a step before */
};

/* Of all quantized weights of G that are not frozen, G being borrowed; *OUT is
 * NULL where OPT asks for nothing.  Free with qk_oscillation_free. */
int qk_oscillation_new (struct qk_graph *g,
                        const struct qk_oscillation_options *opt,
                        struct qk_oscillation **out);
void qk_oscillation_free (struct qk_oscillation *o); /* accepts NULL */

/* Before a step, DONE (0 to 1) of the training having been made: add to the
 * gradients those of
 *   lambda sum (w - s rne (w / s))^2
 * over the weights w, batch-norm folded in, that are not clipped, the rounded
 * one counting as a constant; lambda rises from 0 as half a cosine. */
int qk_oscillation_damp (struct qk_oscillation *o, struct qk_graph *g,
                         double done);

/* After a step: count what has changed back, freeze what does so more often than
 * the threshold, which moves from freeze_start to freeze as half a cosine, at the
 * integer nearest to its mean, and put what is frozen back there. */
int qk_oscillation_step (struct qk_oscillation *o, struct qk_graph *g,
                         double done);

/* Forget what was counted and frozen: the integers are those of other grids from
 * now on. */
void qk_oscillation_restart (struct qk_oscillation *o);

/* The shares of all weights that oscillate, and that are frozen. */
void qk_oscillation_shares (const struct qk_oscillation *o,
                            double *oscillating, double *frozen);

#endif /* QK_TRAIN_OSCILLATION_H */
