/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* exec-priv.h: the executor's plan, shared by the files of this folder. */
#ifndef QK_EXEC_EXEC_PRIV_H
#define QK_EXEC_EXEC_PRIV_H

#include "exec/arena.h"
#include "exec/exec.h"

/* One node at work.  "wrapped" nodes see only f32: their inputs are
 * dequantized before, their output is quantized after the call. */
struct qk_exec_node {
  bool wrapped;
  bool keep_in, keep_out;
  bool is_prepared; /* in this step */
  size_t saved_size, prepared_size, workspace_size;
  /* buffers, -1 where there is none */
  int saved, prepared;
  int wide_in[QK_OP_MAX_INPUTS];      /* wrapped: dequantized for forward */
  int wide_in_back[QK_OP_MAX_INPUTS]; /* … and once more for backward */
  int wide_out;                       /* wrapped: the f32 output */
  int mask;                           /* wrapped: STE mask, bytes */
  int temp[QK_OP_MAX_INPUTS]; /* a further gradient, added to the value's */
  /* INT8 */
  int backend; /* index into exec->backend, -1: the layer itself */
  void *kernel;
  bool joined; /* the next node, an addition, runs in the same call */
};

struct qk_exec_value {
  int data, grad; /* buffers, -1 where there is none */
  bool needs_grad;
  bool grad_written;  /* during backward */
  bool inner;         /* an output, though not of the graph */
  bool whole;         /* has room for opt.batch samples, not for a slice's */
  struct qk_tensor t; /* after forward */
};

/* An output of the graph, or the value of an inner node, in float. */
struct qk_exec_output {
  const char *name;
  int value;
  struct qk_tensor t; /* after forward */
  int wide;           /* buffer: f32 of a quantized value, -1 if it is f32 */
  int temp;           /* buffer: a further gradient by it, -1: never needed */
  float *joined;      /* INT8 in groups: of the whole batch; owned */
};

struct qk_exec_backend {
  const struct qk_backend_class *cls;
  struct qk_backend_caps caps;
  void *self;
};

struct qk_exec {
  struct qk_graph *g;
  struct qk_exec_options opt;
  struct qk_arena arena;
  struct qk_exec_node *node;
  struct qk_exec_value *value;
  int workspace; /* buffer */
  int n_outputs;
  struct qk_exec_output *output; /* the graph's, then those of inner nodes */
  int *loss_saved;               /* buffers, by loss */
  int64_t n;                     /* samples of the last call */
  const void *input[QK_GRAPH_MAX_INPUTS]; /* of the last call, borrowed */
  /* qk_exec_run: what inputs are; F32 in all other calls */
  enum qk_dtype in_type[QK_GRAPH_MAX_INPUTS];
  const struct qk_exec_port *out; /* where outputs go; NULL: into OUTPUT */
  int64_t before;                 /* samples of those ports come before */
  bool shares;                    /* plan and kernels are another's */
  unsigned flags;
  uint64_t seed, step;
  double share;  /* of the whole batch, when several processes train */
  double weight; /* of the batch in its step */
  double own;    /* share of the samples that is not mixed in */
  int64_t first;
  qk_exec_hook hook;
  void *cookie;

  struct qk_exec_backend backend[2]; /* the chosen one, the fallback */
  /* put inputs on their grids; NULL: done here */
  void *input_kernel[QK_GRAPH_MAX_INPUTS];
  size_t input_scratch;

  /* INT8 in groups: opt.batch and the arena are a group's, BATCH the largest
   * batch; every thread has a worker, a copy of this with a value array and
   * arena memory of its own.  Nodes before TAIL take a group SLICE samples at
   * a time, AT of it came before; TAIL 0: all nodes take it as a whole. */
  int64_t batch, slice, at;
  int tail;
  int kernel_threads;     /* of a backend's call */
  struct qk_exec *worker; /* NULL: the batch goes as a whole */
  int workers;
  int n_fallbacks;
  double fallback_share;
};

/* Times of a plan: node i forward, the loss, node i backward. */
static inline int
qk_time_forward (int node)
{
  return node;
}

static inline int
qk_time_loss (const struct qk_exec *ex)
{
  return ex->g->n_nodes;
}

static inline int
qk_time_backward (const struct qk_exec *ex, int node)
{
  return 2 * ex->g->n_nodes - node;
}

static inline int
qk_time_end (const struct qk_exec *ex)
{
  return 2 * ex->g->n_nodes + 1;
}

/* The arguments of one layer call, with the arrays they point into. */
struct qk_call {
  struct qk_layer_io io;
  struct qk_tensor in[QK_OP_MAX_INPUTS], out;
  struct qk_tensor param[QK_LAYER_MAX_PARAMS];
  struct qk_tensor din[QK_OP_MAX_INPUTS], dparam[QK_LAYER_MAX_PARAMS], dout;
  struct qk_rng rng;
};

/* The most samples that a node takes at a time. */
static inline int64_t
qk_node_batch (const struct qk_exec *ex, int node)
{
  return node < ex->tail ? ex->slice : ex->opt.batch;
}

/* plan.c */
int qk_plan (struct qk_exec *ex);

/* forward.c: the call for a node as forward makes it, with BACKWARD's view
 * of the inputs where that is wanted. */
void qk_call_fill (struct qk_exec *ex, int node, bool backward,
                   struct qk_call *c);

/* int8.c */
int qk_int8_prepare (struct qk_exec *ex);
void qk_int8_release (struct qk_exec *ex);
int qk_int8_run (struct qk_exec *ex, int node);
void qk_int8_run_joined (struct qk_exec *ex, int node); /* and the next */

/* forward.c: ex->n samples through all nodes. */
int qk_forward_all (struct qk_exec *ex, const void *const *input);
/* The constants, and nodes FIRST to LAST - 1. */
int qk_forward_constants (struct qk_exec *ex);
int qk_forward_nodes (struct qk_exec *ex, int first, int last);

/* slices.c: cut the batch into groups, and those into slices, if that is
 * possible: set opt.batch, slice and tail.  SHARED: the backend's kernels
 * serve several threads.  Whether it was. */
bool qk_slices_plan (struct qk_exec *ex, bool shared);
/* Workers for them, each with a part of MEMORY; NULL: with memory of its own,
 * the first in the executor's. */
int qk_slices_new (struct qk_exec *ex, char *memory);
/* How many there are, made or not; 0 if batches go as a whole. */
int qk_slices_workers (const struct qk_exec *ex);
void qk_slices_free (struct qk_exec *ex);
int qk_slices_forward (struct qk_exec *ex, const void *const *input);

/* ports.c: what goes into qk_exec_run and comes out of it. */
/* COUNT integers X of TYPE to TO: U8 or U16 as they are, I8 to or from U8. */
void qk_copy_integers (enum qk_dtype type, const void *x, size_t count,
                       void *to);
void qk_give_ports (struct qk_exec *ex);

/* wrap.c: element-wise passes around wrapped nodes; IN is U8 or U16 */
void qk_widen (const struct qk_tensor *in, float *out, int threads);
void qk_ste_bytes (const struct qk_qparams *q, const float *x, size_t n,
                   uint8_t *mask, int threads);
void qk_apply_mask (const uint8_t *mask, const float *dy, float *dx, size_t n,
                    int threads);
void qk_add_into (float *sum, const float *x, size_t n, int threads);

#endif /* QK_EXEC_EXEC_PRIV_H */
