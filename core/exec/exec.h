/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* exec.h: runs a graph, forward and backward, float, fake-quantized or
 * int8. */
#ifndef QK_EXEC_EXEC_H
#define QK_EXEC_EXEC_H

#include <qatkit/loss.h>

#include "graph/graph-priv.h"

struct qk_exec;

/* Called with every value right after it was computed, constants and inputs
 * first: f32, or u8 with its grid.  An int8 network without keep_values may
 * take a batch through in slices, one after the other while there is a hook,
 * and of different sizes for different nodes: T's first dimension says how
 * many samples.  A value's samples come in the order of the batch. */
typedef int (*qk_exec_hook) (void *cookie, int value,
                             const struct qk_tensor *t);

/* How a loss counts of mixed samples. */
enum qk_exec_part {
  QK_PART_WHOLE, /* as of others */
  QK_PART_OWN,   /* as much as the samples are their own */
  QK_PART_OTHER  /* for the rest */
};

/* A loss at work: OUT are numbers of the executor's outputs, REF of the
 * references that qk_exec_backward is given. */
struct qk_exec_loss {
  const char *name; /* for messages */
  const struct qk_loss_class *cls;
  void *self;
  double weight; /* of its mean in the sum */
  int n_out, n_ref;
  const int *out, *ref;
  enum qk_exec_part part;
};

struct qk_exec_options {
  int64_t batch; /* the largest number of samples of a call */
  int threads;
  bool train;       /* backward will be called */
  bool keep_values; /* every value stays readable until the next call */
  /* train: the losses whose sum is minimised; borrowed.  None where backward
   * is never called. */
  int n_losses;
  const struct qk_exec_loss *loss;
  /* Nodes whose values are outputs too, numbered after the graph's, for losses
   * to compare; names that are borrowed for the call. */
  int n_inner;
  const char *const *inner;
  struct qk_comm *comm; /* train: the processes that share the batch, NULL:
                           alone; borrowed */
  /* INT8: the backend; NULL means the fallback alone */
  const char *backend;
  /* INT8: for qk_exec_share alone, so that no memory is needed to run */
  bool packed_only;
};

/* Plan G for such calls.  G is borrowed and must outlive the executor, and
 * its structure must not change.  *OUT belongs to the caller. */
int qk_exec_new (struct qk_graph *g, const struct qk_exec_options *opt,
                 struct qk_exec **out);
void qk_exec_free (struct qk_exec *ex); /* accepts NULL */

/* An executor that runs on what OF, made with packed_only, has packed; OF must
 * outlive it.  It works in MEMORY, qk_exec_memory (OF) bytes aligned to 64 that
 * belong to the caller, or (NULL) in memory of its own.  Only qk_exec_run is for
 * it. */
int qk_exec_share (const struct qk_exec *of, void *memory,
                   struct qk_exec **out);
/* Whether several such executors may run at the same time. */
bool qk_exec_is_shared (const struct qk_exec *of);

/* Check that the N inputs of a data set fit the network's: -EINVAL naming
 * both. */
int qk_exec_check_data (const struct qk_exec *ex,
                        const struct qk_tensor_spec *input, int n);

/* The threads it was made for. */
int qk_exec_threads (const struct qk_exec *ex);

/* Bytes of the activation memory; after packed_only, of each that shares. */
size_t qk_exec_memory (const struct qk_exec *ex);

void qk_exec_set_hook (struct qk_exec *ex, qk_exec_hook hook, void *cookie);

/* Random numbers of the forward calls (dropout) come from (SEED, STEP). */
void qk_exec_set_step (struct qk_exec *ex, uint64_t seed, uint64_t step);

/* Training in several processes: the next calls' samples are SHARE of the
 * whole batch, and FIRST samples come before them. */
void qk_exec_set_part (struct qk_exec *ex, double share, int64_t first);

/* The gradients of the next calls count WEIGHT times, until it is set again: as
 * a part of a step of several batches. */
void qk_exec_set_weight (struct qk_exec *ex, double weight);

/* How much of the samples of the next calls is their own, the rest being mixed
 * in; 1 at first. */
void qk_exec_set_own (struct qk_exec *ex, double own);

/* Run N samples, 1 <= N <= batch; INPUT has a pointer to N samples of f32 for
 * each of the graph's inputs.  FLAGS: enum qk_pass_flags. */
int qk_exec_forward (struct qk_exec *ex, const void *const *input, int64_t n,
                     unsigned flags);

/* A value that somebody else has computed: T's data is borrowed, its first
 * dimension the samples, type and grid as a hook was given them. */
struct qk_exec_given {
  int value;
  struct qk_tensor t;
};

/* Run N samples through nodes FIRST to LAST - 1 alone, in evaluation.  GIVEN has
 * the values that they take from nodes before and from inputs; constants need
 * not be given.  What they compute and nodes from LAST on take, and outputs among
 * it, is there for qk_exec_value until the next call.  Not for INT8 graphs. */
int qk_exec_forward_part (struct qk_exec *ex,
                          const struct qk_exec_given *given, int n_given,
                          int first, int last, int64_t n);

/* Output I of the last forward call, f32, those of inner nodes after the graph's;
 * borrowed until the next one. */
const struct qk_tensor *qk_exec_output (const struct qk_exec *ex, int i);

/* Samples of an input or output: F32, or of a value on a grid also the integers
 * it holds (U8), or these minus 128 (I8). */
struct qk_exec_port {
  enum qk_dtype dtype;
  void *data;
};

/* The same with a port for each of the graph's inputs, which are only read, and
 * outputs.  It allocates nothing. */
int qk_exec_run (struct qk_exec *ex, const struct qk_exec_port *in,
                 const struct qk_exec_port *out, int64_t n);

/* After a forward in training: the weighted sum of the losses for the
 * references REF, and all gradients added to the parameters' grad.  -EDOM
 * when the loss is not finite; the message names the first layer that is
 * not. */
int qk_exec_backward (struct qk_exec *ex, const struct qk_tensor *ref,
                      double *loss);
/* The loss alone. */
int qk_exec_loss (struct qk_exec *ex, const struct qk_tensor *ref,
                  double *loss);

/* After a forward: -EDOM when an output holds NaN or infinity; the message
 * names the first layer that does. */
int qk_exec_check_finite (struct qk_exec *ex);

/* With keep_values, or after qk_exec_forward_part: a value of the last forward
 * call. */
const struct qk_tensor *qk_exec_value (const struct qk_exec *ex, int value);

/* Bytes of the value INT8 in which the same of the prepared network, FAKE,
 * differs, out of *BYTES.  FAKE has integers of more than 8 bits as the real
 * numbers that they stand for. */
int64_t qk_values_differing (const struct qk_tensor *fake,
                             const struct qk_tensor *int8, int64_t *bytes);

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
