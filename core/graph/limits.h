/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* limits.h: what a network may cost that somebody unknown wrote.
 *
 * Its parameters are bounded by the size of the file they come in
 * (qk_graph.max_params), but a file of a few bytes can ask for samples,
 * windows and layers of any size.  All calls here let a graph pass whose
 * max_params is 0. */
#ifndef QK_GRAPH_LIMITS_H
#define QK_GRAPH_LIMITS_H

#include "graph/graph-priv.h"

/* No network of people's has values of more elements for one sample, alone
 * and all together, or does more work for it: multiplications, and numbers
 * looked at by pooling.  ResNet-152 at 1024x1024 has 2^31 and 2^38. */
#define QK_LIMIT_VALUE ((int64_t) 1 << 28)
#define QK_LIMIT_VALUES ((int64_t) 1 << 32)
#define QK_LIMIT_WORK ((int64_t) 1 << 40)

/* Bytes of a batch of samples, and samples of a dataset, that a
 * configuration out of somebody's file may ask for. */
#define QK_LIMIT_BATCH ((int64_t) 1 << 30)
#define QK_LIMIT_SAMPLES ((int64_t) 1 << 24)

/* Count a value of SHAPE that node NAME makes.  -EBADMSG if it is too
 * large. */
int qk_limit_value (struct qk_graph *g, const char *name,
                    const struct qk_shape *shape);

/* -EBADMSG if one sample is too much work for the finished graph G. */
int qk_limit_work (const struct qk_graph *g);

/* Bytes that the buffers of an executor of G may take. */
size_t qk_limit_memory (const struct qk_graph *g);

#endif /* QK_GRAPH_LIMITS_H */
