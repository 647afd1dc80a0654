/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* infer.h: how long networks take on backends, in turns within one run. */
#ifndef QK_BENCH_INFER_H
#define QK_BENCH_INFER_H

#include "bench/timing.h"
#include "exec/exec.h"
#include "run/session.h"
#include "train/stage.h"

/* What a node mostly does, for sums over nodes alike. */
enum qk_bench_group {
  QK_GROUP_FIRST,     /* the convolution that reads the sample */
  QK_GROUP_POINTWISE, /* 1x1 */
  QK_GROUP_DEPTHWISE,
  QK_GROUP_KXK, /* other convolutions */
  QK_GROUP_LINEAR,
  QK_GROUP_OTHER,
  QK_GROUPS
};

const char *qk_bench_group_name (enum qk_bench_group group);

/* Of node NODE of an INT8 graph; -1, the quantization of the sample, and
 * nodes left in float are OTHER. */
enum qk_bench_group qk_bench_group (const struct qk_graph *g, int node);

/* Bytes that NODE of G reads and writes at least for BATCH samples: inputs,
 * outputs and what is stored of the operation. */
double qk_bench_traffic (const struct qk_graph *g, int node, int64_t batch);

/* One network on one backend. */
struct qk_bench_case {
  const char *name;   /* the backend; NULL: float, by the layers themselves */
  struct qk_graph *g; /* borrowed: INT8, or float and fused */

  struct qk_exec *ex; /* after qk_bench_open */
  double pack;        /* seconds qk_exec_new took */
  double peak;        /* MAC/s of a core, 0 if unknown */
  struct qk_timing whole;
  struct qk_timing *node; /* n_nodes + 1, inputs first; NULL until
                             measured by node */
};

/* Plan and pack the network for BATCH samples on THREADS threads.  The error
 * of a backend that cannot run here says what is missing. */
int qk_bench_open (struct qk_bench_case *c, int threads, int64_t batch);
void qk_bench_close (struct qk_bench_case *c); /* after any qk_bench_open */

struct qk_bench_options {
  int64_t batch;
  double seconds; /* to measure each case for, at least */
  int64_t runs;   /* to measure instead, if not 0 */
  bool nodes;     /* node by node as well, in runs of their own */
};

/* Measure the N open cases in turns: a few runs of one, then of the next, so
 * that a change of the machine's speed meets all.  The first run of a turn
 * does not count.  INPUT: batch samples of each input.  -EINTR when stopped. */
int qk_bench_measure (struct qk_bench_case *c, int n, const void *const *input,
                      const struct qk_bench_options *opt,
                      struct qk_monitor *m);

/* The network a settings describes, quantized after training (PTQ): *FLOAT_G is
 * the fused float graph, *INT8 the converted one; both belong to the caller.
 * Random weights (none are configured) first see BATCHES batches, so that
 * batch-norm statistics fit them.  CHECK: unknown keys are an error. */
int qk_bench_network (struct qk_settings *settings, int batches,
                      struct qk_monitor *m, struct qk_graph **float_g,
                      struct qk_graph **int8);

/* MAC/s in float32 of one core, as the backend NAME measures it; 0 if it
 * cannot tell. */
double qk_bench_float_peak (struct qk_context *ctx, const char *name);

/* Bytes a second that THREADS threads read and write when they copy memory
 * (more of it than any cache holds); 0 without memory for it. */
double qk_bench_bandwidth (int threads);

#endif /* QK_BENCH_INFER_H */
