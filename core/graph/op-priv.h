/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* op-priv.h: facts about int8 operations that only the core needs. */
#ifndef QK_GRAPH_OP_PRIV_H
#define QK_GRAPH_OP_PRIV_H

#include <qatkit/backend.h>

/* Elements of op->weight; 0 for ops without one. */
int64_t qk_op_weight_count (const struct qk_op *op);

/* Check an op completely, as one read from a stranger's file: geometry
 * against the shapes of one sample, grids, clamp bounds, and for ops with a
 * weight that no input can overflow the accumulator (which needs the arrays
 * to be there).  -EINVAL with a sentence. */
int qk_op_check (const struct qk_op *op, const struct qk_shape *in,
                 const struct qk_shape *out);

#endif /* QK_GRAPH_OP_PRIV_H */
