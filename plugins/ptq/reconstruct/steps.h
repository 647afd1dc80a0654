/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* steps.h: the step sizes of a block's activations, which are trained, and what
 * is done to activations meanwhile. */
#ifndef RECONSTRUCT_STEPS_H
#define RECONSTRUCT_STEPS_H

#include <qatkit/ptq.h>

/* One grid's. */
struct step {
  int node;
  struct qk_qparams before;    /* the grid as it was */
  struct qk_ptq_trained scale; /* what the block computes with; borrowed */
  double m1, m2;               /* Adam's */
};

/* For the grid that NODE of P owns, in block B. */
int step_open (struct step *s, struct qk_ptq *p, struct qk_ptq_block *b,
               int node);
/* Move the logarithm of the scale along the block's gradient by Adam, whose bias
 * correction RATE has in it. */
void step_move (struct step *s, double rate);
/* Give the network the trained scale, or (BEFORE) the one it had. */
int step_store (const struct step *s, struct qk_ptq *p, bool before);

/* What is done to activations in training, see qdrop.h: the slots of
 * qk_ptq_block_options, whose COOKIE is a struct drop. */
struct drop {
  uint32_t of_256; /* the probability in 1 / 256 */
};

int drop_forward (void *cookie, const struct qk_ptq_grid_call *call,
                  struct qk_rng *rng, float *y);
int drop_backward (void *cookie, const struct qk_ptq_grid_call *call,
                   const float *dy, float *dx, double *dstep);

#endif /* RECONSTRUCT_STEPS_H */
