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

/* The grid of a node's weights, which stays as it is. */
QK_PUBLIC struct qk_quantizer *qk_ptq_weight_quantizer (const struct qk_ptq *p,
                                                        int node);

/* The node as int8 operation: geometry, grids, integers of the weights, with
 * its weights as they are.  *OUT is borrowed until the next call. */
QK_PUBLIC int qk_ptq_op (struct qk_ptq *p, int node, const struct qk_op **out);

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
  /* Change the quantized network, whose grids stay. */
  int (*after) (void *self, struct qk_ptq *p);
};

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_PTQ_H */
