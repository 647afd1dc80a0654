/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* block-priv.h: a block of nodes as a graph of its own, in float, that is
 * trained. */
#ifndef QK_PTQ_BLOCK_PRIV_H
#define QK_PTQ_BLOCK_PRIV_H

#include "ptq/walk-priv.h"

/* Append to G what a method makes of VALUE, which lies on the grid GRID of node
 * OWNER of the network; returns the value that nodes behind shall take.  GRID and
 * OPT are borrowed and must outlive G. */
int qk_ptq_tap (struct qk_graph *g, int value, int owner,
                const struct qk_qparams *grid,
                const struct qk_ptq_block_options *opt);
/* Whether node N is such a one; *OWNER is its. */
bool qk_ptq_is_tap (const struct qk_node *n, int *owner);

/* The nodes of W's block as a float graph with the quantized network's
 * parameters, batch-norm folded in, without those that change nothing in integer
 * networks; nodes keep their names.  Its inputs and outputs are the block's, in
 * the order of the values.  -ENOTSUP where a node cannot be trained.  OPT as for
 * qk_ptq_tap. */
int qk_ptq_block_graph (const struct qk_ptq_walk *w,
                        const struct qk_ptq_block_options *opt,
                        struct qk_graph **out);

#endif /* QK_PTQ_BLOCK_PRIV_H */
