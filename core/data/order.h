/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* order.h: the order in which an epoch has its samples. */
#ifndef QK_DATA_ORDER_H
#define QK_DATA_ORDER_H

#include "qatkit/dataset.h"

/* 0 … N-1 in random order into ORDER. */
void qk_order_shuffle (int64_t *order, int64_t n, struct qk_rng *rng);

/* Samples by category. */
struct qk_groups;

/* Those of the COUNT samples of a dataset, by what its slot category says; a
 * sample without a category is in no group.  -EINVAL if it has no such slot or
 * there is no category.  *OUT is for qk_groups_free. */
int qk_groups_new (const struct qk_dataset_class *cls, void *self,
                   int64_t count, struct qk_groups **out);
void qk_groups_free (struct qk_groups *g); /* accepts NULL */

/* N samples in random order, of each group as many (of some one more): those of
 * a group in turns, so that each comes as often as the others or once more. */
void qk_order_balance (struct qk_groups *g, int64_t *order, int64_t n,
                       struct qk_rng *rng);

#endif /* QK_DATA_ORDER_H */
