/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* patches.h: the windows of input that a convolution's outputs are weighted
 * sums of; of a linear layer, the rows of its input. */
#ifndef QK_COMMON_PATCHES_H
#define QK_COMMON_PATCHES_H

#include <qatkit/backend.h>

/* Output positions of one sample of X (N,H,W,C) or, linear,
 * (N,...,C). */
int64_t patches_count (const struct qk_op *op, const struct qk_tensor *x);

/* Numbers of one patch: R S C. */
int64_t patches_size (const struct qk_op *op);

/* The patch of position POS (counted along rows) of SAMPLE to OUT, laid out
 * group by group as the weights of an output channel are: (groups, R, S,
 * C / groups); 0 outside the sample. */
void patches_copy (const struct qk_op *op, const struct qk_tensor *x,
                   int64_t sample, int64_t pos, float *out);

/* Add all patches of all samples of X to SUM, and return how many these
 * are.  X and SUM are of any number of calls. */
int64_t patches_sum (const struct qk_op *op, const struct qk_tensor *x,
                     double *sum);

#endif /* QK_COMMON_PATCHES_H */
