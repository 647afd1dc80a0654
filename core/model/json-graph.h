/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json-graph.h: the graph of an int8 network as JSON. */
#ifndef QK_MODEL_JSON_GRAPH_H
#define QK_MODEL_JSON_GRAPH_H

#include "graph/graph-priv.h"

/* *OUT is to be freed. */
int qk_graph_to_json (const struct qk_graph *g, char **out);

/* Values and nodes of the INT8 graph in TEXT; the ops' arrays are still NULL.
 * Shapes, grids and references are checked, the ops not yet (qk_op_check
 * needs the arrays).  The parameters of nodes in float may take MAX_PARAMS
 * bytes, what the file can have.  PATH names it in errors. */
int qk_graph_from_json (struct qk_context *ctx, const char *path,
                        const char *text, int64_t max_params,
                        struct qk_graph **out);

#endif /* QK_MODEL_JSON_GRAPH_H */
