/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* passes.h: what turns a float graph into an int8 one, step by step.
 *
 *   float --fuse--> float, fused --prepare--> fake-quantized --convert--> int8
 *
 * Fused, prepared and converted graphs have the same node and value numbers,
 * so that they can be compared node by node. */
#ifndef QK_PASSES_PASSES_H
#define QK_PASSES_PASSES_H

#include "graph/graph-priv.h"

/* How one value or weight is quantized; all borrowed. */
struct qk_qsetting {
  const struct qk_observer_class *observer;
  const struct qk_config *observer_cfg;
  const struct qk_fakequant_class *fakequant;
  const struct qk_config *fakequant_cfg;
  int bits;         /* 2 to 8, of values to 16 */
  bool symmetric;   /* values; weights always are */
  bool per_channel; /* weights */
  bool narrow;      /* weights: without the lowest integer */
};

/* What of a node is quantized. */
enum qk_qmode {
  QK_Q_BOTH = 0, /* weights and values */
  QK_Q_WEIGHTS,  /* values stay float: shows what the weights cost */
  QK_Q_VALUES,   /* weights stay float: shows what the values cost */
  QK_Q_DYNAMIC   /* weights, and values on a grid of each call; the layers
                    that can (linear ones), the others stay float */
};

/* How a node is quantized; quantize false leaves it in float. */
struct qk_qconfig {
  bool quantize;
  enum qk_qmode mode;
  struct qk_qsetting activation, weight;
};

/* Tells the settings of the node NODE (or of an input or constant). */
typedef int (*qk_qconfig_fn) (void *cookie, const char *node,
                              struct qk_qconfig *out);

/* A copy of a float graph in which layers with weights have taken over the
 * batch-norm and clamp behind them: conv+bn, conv+bn+relu, conv+relu,
 * linear+relu, add+relu. */
int qk_pass_fuse (const struct qk_graph *g, struct qk_graph **out);

/* A copy of a float graph in which each value that products take and other nodes,
 * or the user, as well is there twice: a node NAME.requantize behind that which
 * makes it gives it to the products, but not to the last layer with weights, so
 * that it can have fewer bits there. */
int qk_pass_split (const struct qk_graph *g, struct qk_graph **out);
/* Whether NODE computes products, and is not node BUT, or only hands on what it
 * takes, on the same grid, to such nodes: INNER, by value, says of what. */
bool qk_feeds_products (const struct qk_graph *g, int node, int but,
                        const bool *inner);
/* The last layer with weights; -1: there is none. */
int qk_last_weighted (const struct qk_graph *g);

/* The grids that a network came with: of each value of a graph, and whether a
 * node that puts one on its input is merged into what computes that. */
struct qk_grids {
  struct qk_given *given; /* by value */
  bool *merged;           /* by node */
};

int qk_grids_find (const struct qk_graph *g, struct qk_grids *out);
void qk_grids_clear (struct qk_grids *grids);
/* Let a float graph compute on the grids that its values are given. */
int qk_grids_put (struct qk_graph *g);
/* Whether what N gives lies on the grid of its input. */
bool qk_node_keeps_grid (const struct qk_node *n);
/* Let the quantizers of TO, just prepared, begin with the grids that those of the
 * same names have in FROM, where they have as many integers and channels. */
int qk_grids_carry (const struct qk_graph *from, struct qk_graph *to);

/* The integers of S, of a weight or a value: bits, qmin and qmax of INFO. */
void qk_qsetting_integers (const struct qk_qsetting *s, bool weight,
                           struct qk_quant_info *info);

/* Put quantizers on values and weights, in place.  QUANTIZE_OUTPUTS: also on
 * the network's outputs, which otherwise stay float. */
int qk_pass_prepare (struct qk_graph *g, qk_qconfig_fn fn, void *cookie,
                     bool quantize_outputs);

/* Let the quantizers of a prepared graph have the bits that FN tells now; else it
 * must tell what it did then.  What keeps the grid of its file is left alone. */
int qk_pass_change_bits (struct qk_graph *g, qk_qconfig_fn fn, void *cookie);

/* The int8 network that a prepared graph stands for now.  -ENOTSUP when a
 * node has quantized weights on float values, which is for analysis. */
int qk_pass_convert (const struct qk_graph *g, struct qk_graph **out);

/* The int8 operation that NODE of a prepared graph becomes.  Its arrays
 * belong to the caller (qk_free), also after an error. */
int qk_lower_node (const struct qk_graph *g, int node, struct qk_op *op);

/* Whether a prepared graph has no int8 form, see qk_pass_convert: then it is
 * itself what gets evaluated. */
bool qk_graph_is_analysis (const struct qk_graph *g);

/* The grids of a prepared graph's values in evaluation, one a value (scale 0
 * where a value is float); Q has room for n_values. */
void qk_value_grids (const struct qk_graph *g, struct qk_qparams *q);

/* Switch the observers on or off. */
void qk_graph_set_observing (struct qk_graph *g, bool activations,
                             bool weights);

/* The quantizers of a graph one after the other, those of values first, then
 * those of weights; NULL after the last.  *AT is 0 before the first:
 *   for (at = 0; (qz = qk_graph_next_quantizer (g, &at)) != NULL;) */
struct qk_quantizer *qk_graph_next_quantizer (const struct qk_graph *g,
                                              int *at);

/* -EDOM, naming the parameter, when one holds NaN or infinity. */
int qk_graph_check_params (const struct qk_graph *g);

#endif /* QK_PASSES_PASSES_H */
