/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ptq.h: methods of post-training quantization, which change a network's
 * weights and biases so that it loses less when it is quantized. */
#ifndef QATKIT_PTQ_H
#define QATKIT_PTQ_H

#include "layer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The network at hand, fused: a node with weights has batch-norm and clamp
 * behind it in itself.  Nodes are numbered in an order that can be executed.
 * Before calibration it is the float network; after calibration there are
 * two, the float one and the quantized one, in which weights are changed. */
struct qk_ptq;

struct qk_ptq_node {
  const char *name;  /* borrowed until a clamp is replaced */
  const char *layer; /* likewise */
  enum qk_role role;
  int n_in;
  int in[QK_OP_MAX_INPUTS]; /* nodes it takes from; -1: the network's input */
  int consumers; /* nodes that take from it; one more for the network's end */
  float lo, hi;  /* the clamp it ends in; +-INFINITY: none */
  /* WEIGHTED nodes whose weights can be changed, else 0: channels of the
   * output, weights of each (laid out R, S, C / groups), channels of the
   * input, groups */
  int64_t channels, per_channel, in_channels, groups;
  bool quantized; /* after calibration: becomes an int8 operation */
  /* of the output of a sample: its elements by those of the last axis */
  int64_t positions;
};

QK_PUBLIC int qk_ptq_count (const struct qk_ptq *p);
QK_PUBLIC void qk_ptq_node (const struct qk_ptq *p, int node,
                            struct qk_ptq_node *out);

/* Weight (channels x per_channel) and bias (channels) the node computes with,
 * batch-norm folded in: before calibration of the float network, then of the
 * quantized one. */
QK_PUBLIC int qk_ptq_get_weight (const struct qk_ptq *p, int node,
                                 float *weight, float *bias);
/* The same of the float network at any time. */
QK_PUBLIC int qk_ptq_real_weight (const struct qk_ptq *p, int node,
                                  float *weight, float *bias);
/* Make these the node's.  BIAS NULL: as it is.  -ENOTSUP where a bias is
 * needed and the layer has none. */
QK_PUBLIC int qk_ptq_set_weight (struct qk_ptq *p, int node,
                                 const float *weight, const float *bias);

/* Before calibration: put LAYER with OPTIONS in the place of the clamp the
 * node ends in. */
QK_PUBLIC int qk_ptq_replace_clamp (struct qk_ptq *p, int node,
                                    const char *layer, const char *options);

/* Gets the input of a node in the float network and in the quantized one,
 * f32, for one batch of samples; borrowed.  QUANTIZED is NULL before
 * calibration.  Another value than 0 ends the loop and is returned. */
typedef int (*qk_ptq_batch) (void *cookie, const struct qk_tensor *real,
                             const struct qk_tensor *quantized);

/* Run both networks up to the node over at most BATCHES of the calibration
 * batches, calling FN for each. */
QK_PUBLIC int qk_ptq_inputs (struct qk_ptq *p, int node, int64_t batches,
                             qk_ptq_batch fn, void *cookie);

/* ---- after calibration ------------------------------------------------- */

/* The grid of a node's weights. */
QK_PUBLIC struct qk_quantizer *qk_ptq_weight_quantizer (const struct qk_ptq *p,
                                                        int node);
/* Make Q, one for each of the quantizer's channels, the grid of the weights of
 * NODE, for good.  -EINVAL where it has none or qk_ptq_weight_grid_stays. */
QK_PUBLIC int qk_ptq_set_weight_grid (struct qk_ptq *p, int node,
                                      const struct qk_qparams *q);
/* Whether the grid of the weights of NODE is one that the network's file
 * says. */
QK_PUBLIC bool qk_ptq_weight_grid_stays (const struct qk_ptq *p, int node);

/* The node as int8 operation: geometry, grids, integers of the weights, with
 * its weights as they are.  *OUT is borrowed until the next call. */
QK_PUBLIC int qk_ptq_op (struct qk_ptq *p, int node, const struct qk_op **out);

/* The grid of what a node gives, NULL where that is in float.  *OWNER: the node
 * whose it is, NODE or the one before it whose grid it keeps; -1: an input's or a
 * constant's. */
QK_PUBLIC const struct qk_qparams *qk_ptq_grid (const struct qk_ptq *p,
                                                int node, int *owner);
/* Make Q the grid of what NODE gives, for good.  -EINVAL where NODE has none of
 * its own or qk_ptq_grid_stays. */
QK_PUBLIC int qk_ptq_set_grid (struct qk_ptq *p, int node,
                               const struct qk_qparams *q);
/* Whether the grid of what NODE gives is one that the network's file says. */
QK_PUBLIC bool qk_ptq_grid_stays (const struct qk_ptq *p, int node);

/* ---- after calibration: from the inputs on, block by block -------------- */

/* What both networks compute for calibration samples, a block of nodes at a
 * time: its inputs, which the blocks before it gave, and its outputs, the values
 * that later nodes take and outputs of the network. */
struct qk_ptq_walk;

/* At the inputs, with the first SAMPLES of the calibration samples or as many as
 * there are.  P is borrowed, *OUT the caller's. */
QK_PUBLIC int qk_ptq_walk_new (struct qk_ptq *p, int64_t samples,
                               struct qk_ptq_walk **out);
QK_PUBLIC void qk_ptq_walk_free (struct qk_ptq_walk *w); /* accepts NULL */
QK_PUBLIC int64_t qk_ptq_walk_samples (const struct qk_ptq_walk *w);
/* The number of values that nodes before NODE, or inputs, give and nodes from
 * NODE on take.  Where it is 1 all paths meet. */
QK_PUBLIC int qk_ptq_walk_width (const struct qk_ptq_walk *w, int node);

/* Go on to the nodes from where the last block ended to LAST - 1, and run them in
 * the float network.  The last block must have run in the quantized one. */
QK_PUBLIC int qk_ptq_walk_next (struct qk_ptq_walk *w, int last);
/* Run them in the quantized network, with weights and grids as they are now.
 * *ERROR: the squared distance between what both networks give in a position,
 * that is the sum over the last axis of (y - y')^2, in the mean over positions
 * and samples; of several outputs the sum. */
QK_PUBLIC int qk_ptq_walk_run (struct qk_ptq_walk *w, double *error);

/* The nodes of a walk's block in float, to be trained towards what they give in
 * the float network. */
struct qk_ptq_block;

/* A value that lies on a grid in the quantized network: what a method makes of it
 * in training.  All borrowed. */
struct qk_ptq_grid_call {
  const struct qk_qparams *grid; /* in the quantized network now */
  float step;                    /* the scale in training, qk_ptq_block_step */
  size_t n;                      /* elements */
  const float *x;                /* what the node computes */
  uint8_t *saved;                /* n, from forward to backward */
};

struct qk_ptq_block_options {
  int64_t batch; /* the most samples of a step */
  /* probability that an element of the block's inputs is that of the float
   * network */
  double real;
  /* Both are called from several threads at the same time; a call's random
   * numbers are those of the step and the sample's place in it.
   * y: what the nodes behind take */
  int (*forward) (void *cookie, const struct qk_ptq_grid_call *call,
                  struct qk_rng *rng, float *y);
  /* dx from dy; *DSTEP, 0 before: the gradient by the step */
  int (*backward) (void *cookie, const struct qk_ptq_grid_call *call,
                   const float *dy, float *dx, double *dstep);
  void *cookie;
};

/* -ENOTSUP, with a message naming the node, where one of them cannot be
 * trained.  *OUT is the caller's and must not outlive W. */
QK_PUBLIC int qk_ptq_block_new (struct qk_ptq_walk *w,
                                const struct qk_ptq_block_options *opt,
                                struct qk_ptq_block **out);
QK_PUBLIC void qk_ptq_block_free (struct qk_ptq_block *b); /* accepts NULL */

/* One array that a step reads and gives the gradient of; borrowed. */
struct qk_ptq_trained {
  int64_t n;
  float *value;
  const float *gradient; /* of the last step */
};

/* The weight of NODE, as qk_ptq_get_weight gives it in the beginning. */
QK_PUBLIC int qk_ptq_block_weight (struct qk_ptq_block *b, int node,
                                   struct qk_ptq_trained *out);
/* The scale of the grid that NODE, one of the block's, owns; in the beginning that
 * in the quantized network. */
QK_PUBLIC int qk_ptq_block_step (struct qk_ptq_block *b, int node,
                                 struct qk_ptq_trained *out);

/* Gradients for the N SAMPLES (numbers of the walk's) of *ERROR, which is as in
 * qk_ptq_walk_run; random numbers are those of (seed, NUMBER).  The result does
 * not depend on the number of threads. */
QK_PUBLIC int qk_ptq_block_gradient (struct qk_ptq_block *b,
                                     const int64_t *samples, int64_t n,
                                     uint64_t number, double *error);

/* Threads a method may use. */
QK_PUBLIC int qk_ptq_threads (const struct qk_ptq *p);
/* Whose slots of float products to use; NULL: none. */
QK_PUBLIC const struct qk_backend_class *
qk_ptq_float_backend (const struct qk_ptq *p);
/* The run's seed. */
QK_PUBLIC uint64_t qk_ptq_seed (const struct qk_ptq *p);
/* Show on the terminal that DONE of TOTAL steps are done; -EINTR when the
 * user wants to stop. */
QK_PUBLIC int qk_ptq_progress (struct qk_ptq *p, const char *what,
                               int64_t done, int64_t total);
/* Say something, once. */
QK_PUBLIC void qk_ptq_note (const struct qk_ptq *p, const char *fmt, ...)
  QK_PRINTF (2, 3);

/* ---- the class ------------------------------------------------------------ */

/* At least one of before and after is required. */
struct qk_ptq_class {
  struct qk_class cls;
  int (*create) (const struct qk_config *cfg, void **self);
  void (*destroy) (void *self); /* accepts NULL */
  /* Change the float network so that it computes (nearly) the same. */
  int (*before) (void *self, struct qk_ptq *p);
  /* Change the quantized network: weights, biases, grids. */
  int (*after) (void *self, struct qk_ptq *p);
};

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_PTQ_H */
