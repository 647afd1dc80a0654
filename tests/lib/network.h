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

/* The spec of SIDE x SIDE colour samples, an input called "image". */
struct qk_tensor_spec network_image (int side);

/* The network of a model plugin for SIDE x SIDE colour samples with a label.
 * *OUT belongs to the caller: qk_graph_free. */
int network_build (struct qk_context *ctx, const char *model,
                   const char *options, int side, int classes,
                   struct qk_graph **out);

/* Give every parameter the numbers of network_between: weights as He's
 * initialization scales them, batch-norm near the identity. */
int network_fill (struct qk_graph *g);

/* The (N,SIDE,SIDE,3) samples that golden/mobilenet_forward.py has as
 * (N,3,SIDE,SIDE).  Free with qk_free; NULL when out of memory. */
float *network_samples (int64_t n, int side);

/* A fused copy of G, prepared as PyTorch's default for fbgemm: moving
 * averages of the ranges, values of BITS bits, weights of 8 with a scale for
 * each channel; the outputs too. */
int network_prepare (const struct qk_graph *g, int bits,
                     struct qk_graph **out);

/* How a network is quantized; NULL texts: "". */
struct network_quant {
  const char *value_observer, *value_observer_options;
  const char *value_fakequant, *value_fakequant_options;
  const char *weight_observer, *weight_observer_options;
  const char *weight_fakequant, *weight_fakequant_options;
  int value_bits, weight_bits; /* 0: 8 */
  int wide_every; /* values of the other nodes have 8 bits; 0, 1: none */
  bool symmetric; /* values */
  bool per_channel;
  enum qk_qmode mode;
  bool quantize_outputs;
};

/* A fused copy of G, prepared so; names left NULL are
 * moving_average_minmax and affine. */
int network_prepare_as (const struct qk_graph *g,
                        const struct network_quant *how,
                        struct qk_graph **out);

/* Run N samples X through a network of one input and one output, which *Y is:
 * borrowed until the next call. */
int network_forward (struct qk_exec *ex, const float *x, int64_t n,
                     unsigned flags, const float **y);

/* A loss plugin that compares the first output with the first reference, for
 * an executor, which it must outlive. */
int network_loss (struct qk_context *ctx, const char *name,
                  const char *options, struct qk_exec_loss *out);
void network_loss_free (struct qk_exec_loss *l); /* accepts zeros */

/* The gradients and the loss for the LABELS of the samples that EX ran last,
 * one each. */
int network_backward (struct qk_exec *ex, const int32_t *labels, float *loss);

/* Bytes in which the values of two networks differ for N samples X, in
 * evaluation on the reference backend; -1 and the error if one cannot be
 * run. */
int64_t network_differing (struct qk_graph *a, struct qk_graph *b,
                           const float *x, int64_t n);

/* A small network with everything in it that methods look at: convolution,
 * depthwise, ReLU, ReLU6, batch-norm, a residual sum, a linear layer; for
 * 8 x 8 colour samples, 5 classes.  With numbers of network_fill. */
int network_small (struct qk_context *ctx, struct qk_graph **out);

/* SGD at a constant rate; OPTIONS "lr=0.1 momentum=0.9".  For a graph with
 * an executor in training. */
int network_sgd (struct qk_graph *g, const char *options,
                 struct qk_optimize **out);

#endif /* TESTS_LIB_NETWORK_H */
