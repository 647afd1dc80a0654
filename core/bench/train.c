/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* train.c: training steps, timed in turns. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "bench/train.h"
#include "run/optimizer.h"

#define LEAST_STEPS 3

/* ---- memory --------------------------------------------------------- */

/* Let the kernel forget how large the process was; see proc(5). */
static bool
forget_peak (void)
{
  FILE *f = fopen ("/proc/self/clear_refs", "w");
  bool done;

  if (f == NULL)
    return false;
  done = fputs ("5\n", f) >= 0;
  return fclose (f) == 0 && done;
}

/* Bytes the process had in memory at most; 0 if nobody knows. */
static size_t
peak_memory (void)
{
  FILE *f = fopen ("/proc/self/status", "r");
  unsigned long kib = 0;
  char line[256];

  if (f == NULL)
    return 0;
  while (fgets (line, sizeof line, f) != NULL
         && sscanf (line, "VmHWM: %lu kB", &kib) != 1)
    ;
  fclose (f);
  return (size_t) kib << 10;
}

/* ---- one trainer ---------------------------------------------------- */

static void
close_trainer (struct qk_bench_trainer *t)
{
  qk_optimize_free (t->o);
  qk_exec_free (t->ex);
  qk_objective_free (t->objective);
  qk_graph_free (t->g);
  t->o = NULL;
  t->ex = NULL;
  t->objective = NULL;
  t->g = NULL;
}

void
qk_bench_trainer_clear (struct qk_bench_trainer *t)
{
  close_trainer (t);
  for (int i = 0; i < QK_BENCH_PARTS; i++)
    qk_timing_clear (&t->part[i]);
}

/* Of one sample. */
static double
value_bytes (const struct qk_graph *g, int v, bool gradient)
{
  return (double) qk_shape_count (&g->value[v].shape)
         * (double) qk_dtype_size (gradient ? QK_F32 : qk_value_dtype (g, v));
}

/* Forward reads a node's inputs and writes its output, backward reads the
 * inputs again and the gradient by the output, and writes those by the
 * inputs, which the network's own input does not need. */
static double
traffic (const struct qk_graph *g, int64_t batch)
{
  double sum = 0, params = 0;
  int i, j;

  for (i = 0; i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];

    sum += value_bytes (g, n->out, false) + value_bytes (g, n->out, true);
    for (j = 0; j < n->n_in; j++) {
      sum += 2 * value_bytes (g, n->in[j], false);
      if (g->value[n->in[j]].producer >= 0)
        sum += value_bytes (g, n->in[j], true);
    }
  }
  for (i = 0; i < g->n_params; i++)
    params
      += sizeof (float) * (double) qk_shape_count (&g->param[i].value.shape);
  return sum * (double) batch + 3 * params;
}

static int
open_trainer (struct qk_settings *settings, const struct qk_data *d,
              int threads, struct qk_bench_trainer *t)
{
  struct qk_exec_options opt;
  struct qk_graph *g;
  int r;

  if ((r = qk_settings_build (settings, &d->info, QK_WEIGHTS_TRAIN, &g)) < 0)
    return r;
  if ((r = qk_settings_check (settings, g, &d->info)) == 0)
    r = t->qat ? qk_settings_prepare (settings, g, false, &t->g)
               : qk_pass_fuse (g, &t->g);
  qk_graph_free (g);
  if (r < 0)
    return r;
  if ((r = qk_settings_objective (settings, t->g, &d->info, &t->objective))
      < 0)
    return r;
  qk_settings_exec_options (settings, d->batch, true, &opt);
  opt.threads = threads;
  opt.n_losses
    = qk_objective_losses (t->objective, QK_DURING_TRAIN, false, t->loss);
  opt.loss = t->loss;
  qk_objective_give (t->objective, &opt);
  if ((r = qk_exec_new (t->g, &opt, &t->ex)) < 0
      || (r = qk_settings_optimizer (settings, t->g, true, &t->o)) < 0)
    return r;
  qk_graph_set_observing (t->g, t->qat, t->qat);
  t->activations = qk_exec_memory (t->ex);
  t->macs = 3 * (double) (qk_graph_macs (t->g) * d->batch);
  t->traffic = traffic (t->g, d->batch);
  return 0;
}

/* One step; COUNTS: keep its times. */
static int
step (struct qk_bench_trainer *t, const struct qk_batch *data, bool counts)
{
  double at[QK_BENCH_PARTS + 1];
  struct qk_tensor ref[QK_MAX_REFERENCES];
  double loss;
  int before, i, r;

  qk_objective_references (t->objective, data, NULL, ref);
  at[0] = qk_seconds ();
  r = qk_exec_forward (t->ex, data->input, data->n,
                       QK_PASS_TRAIN | QK_PASS_BATCH_STATS);
  at[1] = qk_seconds ();
  if (r < 0 || (r = qk_exec_backward (t->ex, ref, &loss)) < 0)
    return r;
  at[2] = qk_seconds ();
  before = qk_threads_limit (qk_exec_threads (t->ex));
  r = qk_optimize_step (t->o, INT32_MAX, INT32_MAX);
  qk_threads_limit (before);
  at[3] = qk_seconds ();
  for (i = 0; r == 0 && counts && i < QK_BENCH_STEP; i++)
    r = qk_timing_add (&t->part[i], at[i + 1] - at[i]);
  if (r == 0 && counts)
    r = qk_timing_add (&t->part[QK_BENCH_STEP], at[3] - at[0]);
  return r;
}

/* Steps of one trainer alone, to see how much memory they take. */
static int
weigh (struct qk_settings *settings, const struct qk_data *d,
       const struct qk_batch *data, int threads, bool alone,
       struct qk_bench_trainer *t)
{
  const bool forgot = forget_peak ();
  int r = open_trainer (settings, d, threads, t);

  if (r == 0 && (r = step (t, data, false)) == 0)
    r = step (t, data, false);
  t->peak = forgot || alone ? peak_memory () : 0;
  close_trainer (t);
  return r;
}

/* ---- turns ---------------------------------------------------------- */

static bool
enough (const struct qk_bench_trainer *t,
        const struct qk_bench_train_options *opt)
{
  const struct qk_timing *s = &t->part[QK_BENCH_STEP];

  return opt->runs > 0 ? (int64_t) s->n >= opt->runs
                       : s->n >= LEAST_STEPS && s->total >= opt->seconds;
}

static int
turns (struct qk_bench_trainer *t, int n, const struct qk_batch *data,
       const struct qk_bench_train_options *opt, struct qk_monitor *m)
{
  bool more = true;
  int i, r = 0;

  for (i = 0; r == 0 && i < n; i++) /* memory is touched for the first time */
    r = step (&t[i], data, false);
  while (r == 0 && more) {
    more = false;
    for (i = 0; r == 0 && i < n; i++) {
      if (enough (&t[i], opt))
        continue;
      more = true;
      if ((r = step (&t[i], data, true)) == 0 && qk_monitor_stopped (m))
        r = qk_error (-EINTR, "stopped");
    }
  }
  return r;
}

int
qk_bench_train (struct qk_settings *settings, const struct qk_data *d,
                const struct qk_batch *data, struct qk_bench_trainer *t, int n,
                const struct qk_bench_train_options *opt, struct qk_monitor *m)
{
  int i, r = 0;

  for (i = 0; r == 0 && i < n; i++)
    r = weigh (settings, d, data, opt->threads, n == 1, &t[i]);
  for (i = 0; r == 0 && i < n; i++)
    r = open_trainer (settings, d, opt->threads, &t[i]);
  if (r == 0)
    r = turns (t, n, data, opt, m);
  for (i = 0; i < n; i++)
    close_trainer (&t[i]);
  return r;
}
