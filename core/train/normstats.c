/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* normstats.c: batch-norm statistics estimated anew, as the mean over some
 * batches. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/passes.h"
#include "quant/quantizer-priv.h"
#include "train/folded.h"
#include "train/normstats.h"

/* One array of statistics while it is estimated. */
struct stat {
  float *value; /* borrowed from the graph */
  size_t count;
  float *was;  /* what forward works with; owned, as is */
  double *sum; /* of the batches */
};

struct stats {
  struct stat *stat; /* owned */
  int n;
};

static void
clear_stats (struct stats *s)
{
  for (int i = 0; i < s->n; i++) {
    qk_free (s->stat[i].was);
    qk_free (s->stat[i].sum);
  }
  free (s->stat);
}

static int
find_stats (struct qk_graph *g, struct stats *s)
{
  s->n = 0;
  s->stat = calloc ((size_t) g->n_params + 1, sizeof *s->stat);
  if (s->stat == NULL)
    return qk_oom ("batch-norm statistics");
  for (int i = 0; i < g->n_params; i++) {
    const struct qk_param *p = &g->param[i];
    struct stat *t = &s->stat[s->n];

    if (!(p->spec.flags & QK_PARAM_BUFFER) || p->frozen)
      continue;
    s->n++;
    t->value = p->value.data;
    t->count = (size_t) qk_shape_count (&p->value.shape);
    t->was = qk_alloc (t->count * sizeof *t->was);
    t->sum = qk_alloc (t->count * sizeof *t->sum);
    if (t->was == NULL || t->sum == NULL)
      return qk_oom ("statistics '%s'", p->name);
    memcpy (t->was, t->value, t->count * sizeof *t->was);
  }
  return 0;
}

static void
put_back (struct stats *s)
{
  for (int i = 0; i < s->n; i++)
    memcpy (s->stat[i].value, s->stat[i].was,
            s->stat[i].count * sizeof (float));
}

/* Take those of a batch, and put back those that weights are folded with: all
 * batches shall see the same integers. */
static void
take_batch (struct stats *s)
{
  for (int i = 0; i < s->n; i++)
    for (size_t k = 0; k < s->stat[i].count; k++)
      s->stat[i].sum[k] += (double) s->stat[i].value[k];
  put_back (s);
}

static void
put_means (struct stats *s, int64_t batches)
{
  for (int i = 0; i < s->n; i++)
    for (size_t k = 0; k < s->stat[i].count; k++)
      s->stat[i].value[k] = (float) (s->stat[i].sum[k] / (double) batches);
}

/* One batch, its samples this process's part of ALL. */
static int
see_batch (struct qk_exec *ex, const struct qk_batch *batch, int64_t all,
           const struct qk_anew_options *opt, struct stats *s)
{
  int r;

  qk_exec_set_part (ex, (double) batch->n / (double) all, batch->first);
  qk_exec_set_step (ex, opt->seed, (uint64_t) batch->index);
  r = qk_exec_forward (ex, batch->input, batch->n,
                       QK_PASS_TRAIN | QK_PASS_BATCH_STATS | QK_PASS_ANEW);
  take_batch (s);
  return r;
}

/* The samples of all processes (0: one of them has none, so that the batch is
 * left out), and whether any wants to stop. */
static int
agree (const struct qk_monitor *m, int64_t n, int64_t *all)
{
  double x[3] = { (double) n, n == 0 ? 1 : 0, qk_monitor_stopped (m) ? 1 : 0 };
  const int r = qk_comm_reduce (m->comm, QK_COMM_SUM, QK_COMM_F64, x, 3);

  *all = x[1] > 0 ? 0 : (int64_t) x[0];
  return r < 0 || !(x[2] > 0) ? r : qk_error (-EINTR, "stopped");
}

static int
see_batches (struct qk_exec *ex, struct qk_batches *b,
             const struct qk_anew_options *opt, struct qk_monitor *m,
             struct stats *s, int64_t *seen)
{
  struct qk_batch batch = { .index = -1 };
  int64_t all, done = 0;
  int r;

  if ((r = qk_batches_start (b, opt->epoch, 0)) < 0)
    return r;
  while (batch.index + 1 < opt->limit && (r = qk_batches_next (b, &batch)) > 0
         && (r = agree (m, batch.n, &all)) == 0) {
    if (all == 0)
      continue;
    if (*seen == 0)
      qk_progress_begin (m->progress, opt->label, opt->limit * all);
    if ((r = see_batch (ex, &batch, all, opt, s)) < 0)
      break;
    (*seen)++;
    done += all;
    qk_progress_update (m->progress, done, NAN);
  }
  qk_progress_end (m->progress);
  return r < 0 ? r : 0;
}

/* ---- scales of weights -------------------------------------------------------*/

/* Whether there is a scale for each channel of F, that can follow. */
static bool
follows (const struct qk_folded *f)
{
  return f->channels > 1
         && qk_quantizer_channels (f->node->weight_qz) == f->channels;
}

/* As scales of F before, how many times its weights have become larger since. */
static int
rescale (const struct qk_graph *g, struct qk_folded *f, float *before)
{
  int r;

  memcpy (before, f->k, sizeof *before * (size_t) f->channels);
  if ((r = qk_folded_take (g, f)) < 0)
    return r;
  for (int64_t c = 0; c < f->channels; c++)
    before[c] = before[c] != 0.0f ? f->k[c] / before[c] : 1.0f;
  return qk_quantizer_rescale (f->node->weight_qz, before);
}

/* The statistics become the means over SEEN batches; scales follow. */
static int
renew (struct qk_graph *g, struct stats *s, int64_t seen)
{
  struct qk_folded *f = calloc ((size_t) g->n_nodes + 1, sizeof *f);
  float *before;
  int i, r = f == NULL ? qk_oom ("batch-norm statistics") : 0;

  for (i = 0; r >= 0 && i < g->n_nodes; i++)
    if ((r = qk_folded_init (g, &g->node[i], &f[i])) > 0)
      r = qk_folded_take (g, &f[i]);
  if (r >= 0)
    put_means (s, seen);
  for (i = 0; r >= 0 && i < g->n_nodes; i++) {
    if (f[i].weight == NULL || !follows (&f[i]))
      continue;
    before = qk_alloc (sizeof *before * (size_t) f[i].channels);
    r = before == NULL ? qk_oom ("batch-norm statistics")
                       : rescale (g, &f[i], before);
    qk_free (before);
  }
  for (i = 0; f != NULL && i < g->n_nodes; i++)
    qk_folded_clear (&f[i]);
  free (f);
  return r < 0 ? r : 0;
}

int
qk_stats_anew (struct qk_graph *g, struct qk_exec *ex, struct qk_batches *b,
               const struct qk_anew_options *opt, struct qk_monitor *m)
{
  struct stats s;
  int64_t seen = 0;
  int r = find_stats (g, &s);

  if (r == 0 && s.n > 0)
    r = see_batches (ex, b, opt, m, &s, &seen);
  if (r == 0 && seen > 0)
    r = renew (g, &s, seen);
  clear_stats (&s);
  return r;
}
