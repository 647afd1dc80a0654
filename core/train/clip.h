/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clip.h: bounds on gradients, as torch.nn.utils has them. */
#ifndef QK_TRAIN_CLIP_H
#define QK_TRAIN_CLIP_H

#include "train/optimize.h"

/* As clip_grad_value_: every element of every gradient into +-MOST. */
void qk_clip_value (struct qk_optimize *o, float most, int threads);

/* As clip_grad_norm_ with norm_type 2: all gradients together times
 *   min (1, MOST / (norm + 1e-6)),
 * where norm is that of all their elements in one vector, summed in double, in
 * an order that neither threads nor the CPU change.  -EDOM naming the parameter
 * whose gradient is not finite. */
int qk_clip_norm (struct qk_optimize *o, double most, int threads);

#endif /* QK_TRAIN_CLIP_H */
