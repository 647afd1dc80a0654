/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* exec.h: runs a graph, forward and backward, float, fake-quantized or
 * int8. */
#ifndef QK_EXEC_EXEC_H
#define QK_EXEC_EXEC_H

#include "graph/graph-priv.h"

struct qk_exec;

/* Called with every node's output right after it was computed (and with the
 * network's input, node -1): f32, or u8 with its grid.  An int8 network
 * without keep_values may take a batch through in slices, one after the
 * other while there is a hook, and of different sizes for different nodes:
 * OUT's first dimension tells of how many.  A node sees the samples of a
 * batch in order. */
typedef int (*qk_exec_hook) (void *cookie, int node,
                             const struct qk_tensor *out);

struct qk_exec_options {
  int64_t batch; /* the largest number of samples of a call */
  int threads;
  bool train; /* backward will be called */
  bool
    keep_values; /* every node's output stays readable until the next call */
  /* train: the layer that computes the loss, and its options */
  const char *loss, *loss_options;
  struct qk_comm *comm; /* train: the processes that share the batch, NULL:
                           alone; borrowed */
  /* train: a layer that computes a loss from the logits and those of a
   * teacher, and its share of the whole loss; NULL: none */
  const char *teacher_loss, *teacher_options;
  double teacher_share;
  /* INT8: the backend; NULL means the fallback alone */
  const char *backend;
};

/* Plan G for such calls.  G is borrowed and must outlive the executor, and
 * its structure must not change.  *OUT belongs to the caller. */
int qk_exec_new (struct qk_graph *g, const struct qk_exec_options *opt,
                 struct qk_exec **out);
void qk_exec_free (struct qk_exec *ex); /* accepts NULL */

/* Check that samples of this kind, with CLASSES classes, fit the network:
 * -EINVAL naming both. */
int qk_exec_check_data (const struct qk_exec *ex, int64_t height,
                        int64_t width, int64_t channels, int classes);

/* Bytes of the activation memory. */
size_t qk_exec_memory (const struct qk_exec *ex);

void qk_exec_set_hook (struct qk_exec *ex, qk_exec_hook hook, void *cookie);

/* Random numbers of the forward calls (dropout) come from (SEED, STEP). */
void qk_exec_set_step (struct qk_exec *ex, uint64_t seed, uint64_t step);

/* Training in several processes: the next calls' samples are SHARE of the
 * whole batch, and FIRST samples come before them. */
void qk_exec_set_part (struct qk_exec *ex, double share, int64_t first);

/* Logits (N,classes) of a teacher for the next backward; borrowed. */
void qk_exec_set_teacher (struct qk_exec *ex, const float *logits);

/* Run N samples (N,H,W,C) f32, 1 <= N <= batch.  FLAGS: enum
 * qk_pass_flags.  *LOGITS (N,classes) f32 is borrowed until the next call. */
int qk_exec_forward (struct qk_exec *ex, const float *images, int64_t n,
                     unsigned flags, const float **logits);

/* After a forward in training: the loss for the LABELS (n of them), and all
 * gradients added to the parameters' grad.  -EDOM when the loss is not
 * finite; the message names the first layer that is not. */
int qk_exec_backward (struct qk_exec *ex, const int32_t *labels, float *loss);
/* The loss alone. */
int qk_exec_loss (struct qk_exec *ex, const int32_t *labels, float *loss);

/* After a forward: -EDOM when the logits hold NaN or infinity; the message
 * names the first layer that does. */
int qk_exec_check_finite (struct qk_exec *ex);

/* With keep_values: output of a node in the last forward call. */
const struct qk_tensor *qk_exec_output (const struct qk_exec *ex, int node);

/* How many groups of a batch's samples run at the same time while there is no
 * hook; 1 if batches go as a whole. */
int qk_exec_parallel (const struct qk_exec *ex);

/* INT8: what the backend tells of a node after packing it (see facts in
 * backend.h), an empty text where it tells nothing. */
int qk_exec_facts (const struct qk_exec *ex, int node, char *text,
                   size_t size);

/* INT8: how many nodes the chosen backend left to the fallback, and their
 * share of the multiply-accumulates. */
int qk_exec_fallbacks (const struct qk_exec *ex, double *share);

/* INT8: what the chosen backend is like; NULL of other graphs. */
const struct qk_backend_caps *qk_exec_caps (const struct qk_exec *ex);

/* The backend that runs a node; NULL for its layer itself. */
const char *qk_exec_node_backend (const struct qk_exec *ex, int node);

/* INT8: multiply-accumulates a second that a core could do, as the chosen
 * backend measures it; 0 where it cannot tell, and of other graphs. */
int qk_exec_peak (struct qk_exec *ex, double *macs_per_second);

#endif /* QK_EXEC_EXEC_H */
