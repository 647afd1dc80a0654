/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* op-priv.h: facts about int8 operations that only the core needs. */
#ifndef QK_OP_PRIV_H
#define QK_OP_PRIV_H

#include <qatkit/backend.h>

/* Elements of op->weight; 0 for ops without one. */
int64_t qk_op_weight_count (const struct qk_op *op);

#endif /* QK_OP_PRIV_H */
