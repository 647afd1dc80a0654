/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* coverage.h: what of a prepared network is int8, what is not, and why. */
#ifndef QK_RUN_COVERAGE_H
#define QK_RUN_COVERAGE_H

#include <stdio.h>

#include "graph/graph-priv.h"
#include "train/monitor.h"

/* "int8", "float", "weights only", "values only", "dynamic". */
const char *qk_node_as_name (enum qk_node_as as);

/* Share of the multiply-accumulates that NODE has, 0 to 1. */
double qk_coverage_share (const struct qk_graph *g, int node);

/* The ledger in a sentence, as
 *   52 nodes int8, 99.6 % of MACs; float: classifier (left in float by its
 *   qconfig; 0.4 %)
 * to be freed; NULL: out of memory. */
char *qk_coverage_sentence (const struct qk_graph *g);

/* Tell reporters one "node" event a node, and the log the sentence, after
 * WHAT ("QAT"). */
int qk_coverage_report (const struct qk_graph *g, const char *what,
                        struct qk_monitor *m);

/* Log, after WHAT, in which nodes the scales of weights were raised so that
 * biases fit into int32, as of the last conversion or evaluation of G. */
void qk_coverage_raised (const struct qk_graph *g, const char *what);

/* The whole table, or JSON, on OUT. */
int qk_coverage_print (const struct qk_graph *g, bool json, FILE *out);

#endif /* QK_RUN_COVERAGE_H */
