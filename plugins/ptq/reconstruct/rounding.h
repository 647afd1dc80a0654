/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rounding.h: the weights of a block's layers, whose rounding is trained. */
#ifndef RECONSTRUCT_ROUNDING_H
#define RECONSTRUCT_ROUNDING_H

#include <qatkit/ptq.h>

#include "softround/softround.h"

/* One layer's. */
struct rounding {
  int node;
  int64_t channels, depth;     /* weights of a channel */
  struct qk_ptq_trained soft;  /* what the block computes with; borrowed */
  struct softround_grid *grid; /* by channel; owned, as all arrays */
  float *before;               /* the weights as they were */
  float *base, *v, *m1, *m2;   /* of softround */
};

/* For NODE of P, which stands in block B.  *FITS: whether its fake-quantizer gives
 * weights on the grid back as they are; if not, R is as before and the block gets
 * the weights that the quantized network has. */
int rounding_open (struct rounding *r, struct qk_ptq *p,
                   struct qk_ptq_block *b, int node, bool *fits);
void rounding_close (struct rounding *r);

/* Let the block compute with the weights as V rounds them. */
void rounding_show (struct rounding *r, int threads);
/* Move V along the block's gradient. */
void rounding_move (struct rounding *r, const struct softround_step *step,
                    int threads);

/* Give the network the weights on their integers; *CHANGED: how many more are not
 * at the nearest.  *FITS as for rounding_open. */
int rounding_store (const struct rounding *r, struct qk_ptq *p,
                    int64_t *changed, bool *fits);
/* Give it back those it had. */
int rounding_restore (const struct rounding *r, struct qk_ptq *p);

#endif /* RECONSTRUCT_ROUNDING_H */
