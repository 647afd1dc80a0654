/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* infer.c: networks on backends, timed in turns. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/infer.h"
#include "graph/op-priv.h"

/* A case's turns are so many, and none is longer than a quarter second. */
#define TURNS 8
#define LONGEST_TURN 0.25

const char *
qk_bench_group_name (enum qk_bench_group group)
{
  static const char *const names[QK_GROUPS]
    = { "first", "pointwise", "depthwise", "kxk", "linear", "other" };

  return names[group];
}

enum qk_bench_group
qk_bench_group (const struct qk_graph *g, int node)
{
  const struct qk_node *n = node >= 0 ? &g->node[node] : NULL;

  if (n == NULL || !n->lowered)
    return QK_GROUP_OTHER;
  if (n->op.kind == QK_OP_LINEAR)
    return QK_GROUP_LINEAR;
  if (n->op.kind != QK_OP_CONV2D)
    return QK_GROUP_OTHER;
  if (g->value[n->in[0]].producer < 0)
    return QK_GROUP_FIRST;
  if (n->op.groups > 1 && n->op.groups == n->op.in_channels)
    return QK_GROUP_DEPTHWISE;
  return n->op.kernel_h == 1 && n->op.kernel_w == 1 ? QK_GROUP_POINTWISE
                                                    : QK_GROUP_KXK;
}

static double
value_bytes (const struct qk_graph *g, int value, int64_t batch)
{
  const struct qk_value *v = &g->value[value];
  const double count = (double) qk_shape_count (&v->shape);

  return count * (double) qk_dtype_size (qk_value_dtype (g, value))
         * (v->constant != NULL ? 1 : (double) batch);
}

double
qk_bench_traffic (const struct qk_graph *g, int node, int64_t batch)
{
  const struct qk_node *n = node >= 0 ? &g->node[node] : NULL;
  double sum = 0;
  int i;

  if (n == NULL) { /* samples are quantized */
    for (i = 0; i < g->n_inputs; i++)
      sum += value_bytes (g, g->input[i], batch)
             + (double) (batch * qk_shape_count (&g->value[g->input[i]].shape))
                 * sizeof (float);
    return sum;
  }
  for (i = 0; i < n->n_in; i++)
    sum += value_bytes (g, n->in[i], batch);
  for (i = 0; i < n->n_params; i++)
    sum += 4 * (double) qk_shape_count (&g->param[n->param[i]].value.shape);
  if (n->lowered)
    sum += (double) qk_op_bytes (&n->op);
  return sum + value_bytes (g, n->out, batch);
}

int
qk_bench_open (struct qk_bench_case *c, int threads, int64_t batch)
{
  const struct qk_exec_options opt
    = { .batch = batch, .threads = threads, .backend = c->name };
  const double start = qk_seconds ();
  int r;

  if ((r = qk_exec_new (c->g, &opt, &c->ex)) < 0)
    return r;
  c->pack = qk_seconds () - start;
  return 0;
}

void
qk_bench_close (struct qk_bench_case *c)
{
  qk_exec_free (c->ex);
  c->ex = NULL;
  qk_timing_clear (&c->whole);
  for (int i = 0; c->node != NULL && i <= c->g->n_nodes; i++)
    qk_timing_clear (&c->node[i]);
  free (c->node);
  c->node = NULL;
}

/* ---- by node -------------------------------------------------------- */

/* Seconds of each node in one call, of all slices of the batch. */
struct stopwatch {
  const struct qk_graph *g;
  double *node;
  double last;
};

static int
value_done (void *cookie, int value, const struct qk_tensor *t)
{
  struct stopwatch *w = cookie;
  /* inputs and constants together come first */
  const int node = w->g->value[value].producer;

  (void) t;
  w->node[node + 1] += qk_seconds () - w->last;
  w->last = qk_seconds ();
  return 0;
}

/* Slices that threads would take at the same time come one after the other
 * here: a node's time is that of all of them by the number of threads. */
static int
run_by_node (struct qk_bench_case *c, const void *const *input, int64_t batch)
{
  struct stopwatch w = { .g = c->g };
  int i, r;

  w.node = calloc ((size_t) c->g->n_nodes + 1, sizeof *w.node);
  if (w.node == NULL)
    return qk_oom ("bench");
  qk_exec_set_hook (c->ex, value_done, &w);
  w.last = qk_seconds ();
  r = qk_exec_forward (c->ex, input, batch, 0);
  qk_exec_set_hook (c->ex, NULL, NULL);
  for (i = 0; r == 0 && i <= c->g->n_nodes; i++)
    r = qk_timing_add (&c->node[i], w.node[i] / qk_exec_parallel (c->ex));
  free (w.node);
  return r;
}

/* ---- turns ---------------------------------------------------------- */

/* What one case has to do in all, for the whole or by node. */
struct progress {
  double seconds;
  int64_t runs;
};

static bool
enough (const struct progress *p, const struct qk_bench_options *opt)
{
  return opt->runs > 0 ? p->runs >= opt->runs
                       : p->runs > 0 && p->seconds >= opt->seconds;
}

static bool
turn_over (const struct progress *now, const struct progress *start,
           const struct qk_bench_options *opt)
{
  const double longest = fmin (opt->seconds / TURNS, LONGEST_TURN);

  if (opt->runs > 0)
    return now->runs - start->runs >= (opt->runs + TURNS - 1) / TURNS;
  return now->seconds - start->seconds >= longest;
}

static int
turn (struct qk_bench_case *c, const void *const *input,
      const struct qk_bench_options *opt, bool nodes, struct progress *p,
      struct qk_monitor *m)
{
  const struct progress start = *p;
  double t;
  int r;

  r = qk_exec_forward (c->ex, input, opt->batch, 0);
  while (r == 0 && !enough (p, opt)
         && (p->runs == start.runs || !turn_over (p, &start, opt))) {
    t = qk_seconds ();
    r = nodes ? run_by_node (c, input, opt->batch)
              : qk_exec_forward (c->ex, input, opt->batch, 0);
    t = qk_seconds () - t;
    if (r == 0 && !nodes)
      r = qk_timing_add (&c->whole, t);
    p->seconds += t;
    p->runs++;
    if (r == 0 && qk_monitor_stopped (m))
      r = qk_error (-EINTR, "stopped");
  }
  return r;
}

static int
turns (struct qk_bench_case *c, int n, const void *const *input,
       const struct qk_bench_options *opt, bool nodes, struct qk_monitor *m)
{
  struct progress *p = calloc ((size_t) n, sizeof *p);
  bool more = true;
  int i, r = 0;

  if (p == NULL)
    return qk_oom ("bench");
  while (r == 0 && more) {
    more = false;
    for (i = 0; r == 0 && i < n; i++)
      if (!enough (&p[i], opt)) {
        r = turn (&c[i], input, opt, nodes, &p[i], m);
        more = true;
      }
  }
  free (p);
  return r;
}

int
qk_bench_measure (struct qk_bench_case *c, int n, const void *const *input,
                  const struct qk_bench_options *opt, struct qk_monitor *m)
{
  int i, r = turns (c, n, input, opt, false, m);

  for (i = 0; r == 0 && i < n; i++)
    r = qk_exec_peak (c[i].ex, &c[i].peak);
  if (r < 0 || !opt->nodes)
    return r;
  for (i = 0; i < n; i++) {
    c[i].node = calloc ((size_t) c[i].g->n_nodes + 1, sizeof *c[i].node);
    if (c[i].node == NULL)
      return qk_oom ("bench");
  }
  return turns (c, n, input, opt, true, m);
}
