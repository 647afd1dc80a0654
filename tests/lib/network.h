/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* network.h: whole networks for tests and benchmarks, made without a
 * configuration file: built by a model plugin, given numbers, prepared for
 * QAT, trained. */
#ifndef TESTS_LIB_NETWORK_H
#define TESTS_LIB_NETWORK_H

#include "exec/exec.h"
#include "passes/passes.h"
#include "train/optimize.h"

/* COUNT numbers in [LO,HI) that depend on NAME and their index alone, the
 * same as those of golden/mobilenet_forward.py. */
void network_between (const char *name, int64_t count, float lo, float hi,
                      float *out);

/* The network of a model plugin for SIDE x SIDE colour pictures.  *OUT
 * belongs to the caller: qk_graph_free. */
int network_build (struct qk_context *ctx, const char *model,
                   const char *options, int side, int classes,
                   struct qk_graph **out);

/* Give every parameter the numbers of network_between: weights as He's
 * initialization scales them, batch-norm near the identity. */
int network_fill (struct qk_graph *g);

/* The (N,SIDE,SIDE,3) pictures that golden/mobilenet_forward.py has as
 * (N,3,SIDE,SIDE).  Free with qk_free; NULL when out of memory. */
float *network_pictures (int64_t n, int side);

/* A fused copy of G, prepared as PyTorch's default for fbgemm: moving
 * averages of the ranges, values of BITS bits, weights of 8 with a scale for
 * each channel; the logits too. */
int network_prepare (const struct qk_graph *g, int bits,
                     struct qk_graph **out);

/* SGD at a constant rate; OPTIONS "lr=0.1 momentum=0.9".  For a graph with
 * an executor in training. */
int network_sgd (struct qk_graph *g, const char *options,
                 struct qk_optimize **out);

#endif /* TESTS_LIB_NETWORK_H */
