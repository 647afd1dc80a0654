/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* graph.h: building a network, as model plugins do. */
#ifndef QATKIT_GRAPH_H
#define QATKIT_GRAPH_H

#include "layer.h"

#ifdef __cplusplus
extern "C" {
#endif

struct qk_graph;

/* Empty the graph again, errors included, for a model that tries another
 * way. */
QK_PUBLIC void qk_graph_clear (struct qk_graph *g);

/* Add an input like SPEC (copied), f32; returns the value's id.  Inputs come
 * before all nodes. */
QK_PUBLIC int qk_graph_input (struct qk_graph *g,
                              const struct qk_tensor_spec *spec);

/* Add a value that is the same for all samples: SHAPE with dims[0] = 1, DATA
 * copied.  It is not trained.  Returns the value's id. */
QK_PUBLIC int qk_graph_constant (struct qk_graph *g, const char *name,
                                 const struct qk_shape *shape,
                                 const float *data);

/* Append a node that applies LAYER to the values IN; returns the id of its
 * output value, or a negative errno value (which may be passed on as an
 * input: the first error sticks).
 * NAME prefixes the parameters ("features.0.0" gives
 * "features.0.0.weight"); FMT makes the layer's options, "stride=2 bias=no". */
QK_PUBLIC int qk_graph_node (struct qk_graph *g, const char *name,
                             const char *layer, const int *in, int n_in,
                             const char *fmt, ...) QK_PRINTF (6, 7);

/* Shape of a value for one sample (dims[0] = 1), there until something is added
 * to the graph; NULL if there is none. */
QK_PUBLIC const struct qk_shape *qk_graph_shape (const struct qk_graph *g,
                                                 int value);

/* Give a parameter of the node that computes VALUE its numbers in place of
 * random ones: PARAM is the name that its layer has for it, "weight"; DATA, in
 * the layout of ours, is copied.  ALIAS is what files of weights call it
 * (NULL, or one that another parameter has: "NODE.weight"). */
QK_PUBLIC int qk_graph_fill (struct qk_graph *g, int value, const char *param,
                             const char *alias, const float *data);

/* Give a parameter of the node that computes VALUE, a weight, the grid that it
 * has in the network's file and keeps: N scales (copied), one for each channel
 * of its first axis or one for all. */
QK_PUBLIC int qk_graph_fill_grid (struct qk_graph *g, int value,
                                  const char *param, int64_t n,
                                  const float *scale);

/* Something that the user is to be told of the network, once it is complete: a
 * sentence that begins with where. */
QK_PUBLIC void qk_graph_warn (struct qk_graph *g, const char *fmt, ...)
  QK_PRINTF (2, 3);

/* Make VALUE an output called NAME ("scores"), after those there are. */
QK_PUBLIC int qk_graph_output (struct qk_graph *g, const char *name,
                               int value);

/* Outside, in arrays and in other programs' files, the samples of the output
 * that was made last follow each other along AXIS (0 as long as nothing else
 * is said): a tensor (N,T,K) of the graph is (T,N,K) there with AXIS = 1.
 * -EINVAL where it has no such axis. */
QK_PUBLIC int qk_graph_output_batch (struct qk_graph *g, int axis);

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_GRAPH_H */
