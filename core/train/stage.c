/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stage.c: evaluate, calibrate, train: loops over batches. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "base/threads.h"
#include "passes/passes.h"
#include "quant/quantizer-priv.h"
#include "train/stage.h"

/* After a pass over the data that left R: it must have seen samples. */
static int
check_seen (int r, int64_t seen)
{
  if (r < 0)
    return r;
  return seen > 0 ? 0
                  : qk_error (-ENODATA, "no sample of the dataset can be "
                                        "decoded");
}

/* The dataset must fit the network. */
static int
check_data (const struct qk_exec *ex, const struct qk_batches *b)
{
  const struct qk_dataset_info *i = qk_batches_info (b);

  return qk_exec_check_data (ex, i->input, i->n_inputs);
}

static int64_t
samples (const struct qk_batches *b, int64_t limit, int64_t batch)
{
  const int64_t all = qk_batches_info (b)->count;

  return limit > 0 && limit * batch < all ? limit * batch : all;
}

/* Whether any process wants to stop; all hear the same. */
static int
agree_to_stop (const struct qk_monitor *m, bool *stop)
{
  double any = qk_monitor_stopped (m) ? 1 : 0;
  const int r = qk_comm_reduce (m->comm, QK_COMM_MAX, QK_COMM_F64, &any, 1);

  *stop = any > 0;
  return r;
}

/* The network and its teacher on one batch, added to T. */
static int
evaluate_batch (const struct qk_subject *s, const struct qk_batch *batch,
                int threads, struct qk_tally *t)
{
  const bool teacher = s->teacher != NULL;
  struct qk_tensor ref[QK_MAX_REFERENCES];
  double start = qk_seconds (), loss;
  int r;

  if ((r = qk_exec_forward (s->ex, batch->input, batch->n, 0)) < 0)
    return r;
  t->seconds += qk_seconds () - start;
  if ((r = qk_exec_check_finite (s->ex)) < 0
      || (s->take != NULL && (r = s->take (s->cookie, s->ex, batch->n)) < 0))
    return r;
  if (teacher && s->teacher != s->ex
      && (r = qk_exec_forward (s->teacher, batch->input, batch->n, 0)) < 0)
    return qk_error_prefix (r, "teacher: ");
  qk_objective_references (s->o, batch, s->teacher, ref);
  r = qk_objective_loss_of (s->o, s->during, s->ex, ref, teacher, threads,
                            &loss);
  return r < 0 ? r
               : qk_tally_add (t, s->o, s->ex, ref, teacher, batch->n, loss);
}

static double
mean_loss (const struct qk_tally *t)
{
  return t->n > 0 ? t->loss / (double) t->n : (double) NAN;
}

/* All batches; *T is the whole afterwards, of all processes. */
static int
evaluate (const struct qk_subject *s, struct qk_batches *b, int64_t limit,
          const char *label, struct qk_monitor *m, struct qk_tally *t)
{
  const bool alone = qk_comm_size (m->comm) == 1;
  struct qk_batch batch;
  int64_t next = 0; /* the batch that is due */
  bool stop;
  int r;

  if ((r = qk_batches_start (b, 0, 0)) < 0)
    return r;
  while ((limit == 0 || next < limit || (alone && t->n == 0))
         && (r = qk_batches_next (b, &batch)) > 0) {
    if (limit > 0 && batch.index >= limit && !alone)
      break;
    next = batch.index + 1;
    if (t->n == 0)
      qk_progress_begin (m->progress, label, samples (b, limit, batch.n));
    if ((r = evaluate_batch (s, &batch, 1, t)) < 0)
      break;
    qk_progress_update (m->progress, t->n, mean_loss (t));
    if (alone && qk_monitor_stopped (m)) {
      r = qk_error (-EINTR, "stopped");
      break;
    }
  }
  qk_progress_end (m->progress);
  if (r >= 0
      && (r = qk_tally_join (t, s->o, m->comm, qk_exec_threads (s->ex))) == 0
      && !alone && (r = agree_to_stop (m, &stop)) == 0 && stop)
    r = qk_error (-EINTR, "stopped");
  return check_seen (r, t->n);
}

int
qk_stage_evaluate (const struct qk_subject *s, struct qk_batches *b,
                   int64_t limit, const char *label, struct qk_monitor *m,
                   struct qk_tally *t, struct qk_scores *out)
{
  int r;

  memset (out, 0, sizeof *out);
  qk_tally_clear (t);
  if ((r = check_data (s->ex, b)) < 0
      || (r = qk_tally_init (t, s->o, true)) < 0)
    return r;
  if ((r = evaluate (s, b, limit, label, m, t)) == 0)
    qk_tally_scores (t, s->o, out);
  return r;
}

/* Feeds the values of the float network to another graph's quantizers. */
static int
collect_value (void *cookie, int value, const struct qk_tensor *t)
{
  struct qk_graph *g = cookie;
  struct qk_quantizer *qz = g->value[value].qz;
  const size_t n = (size_t) qk_shape_count (&t->shape);
  float *x;
  size_t i;
  int r;

  if (qz == NULL || !qk_quantizer_observing (qz))
    return 0;
  if (t->dtype == QK_F32)
    return qk_quantizer_collect (qz, t->data, n);
  /* on a grid of the network's file */
  if ((x = malloc (n * sizeof *x)) == NULL)
    return qk_oom ("calibration");
  for (i = 0; i < n; i++)
    x[i] = qk_dequantize (((const uint8_t *) t->data)[i], t->q.scale,
                          t->q.zero_point);
  r = qk_quantizer_collect (qz, x, n);
  free (x);
  return r;
}

/* Zeros for one sample of each input of G; NULL without memory. */
static void **
zero_inputs (const struct qk_graph *g)
{
  void **input = calloc ((size_t) g->n_inputs + 1, sizeof *input);
  int i;

  for (i = 0; input != NULL && i < g->n_inputs; i++) {
    const int64_t n = qk_shape_count (&g->value[g->input[i]].shape);

    input[i] = qk_alloc (sizeof (float) * (size_t) n);
    if (input[i] == NULL) {
      while (i-- > 0)
        qk_free (input[i]);
      free (input);
      return NULL;
    }
  }
  return input;
}

/* The weight quantizers see the folded weights in a forward pass of one
 * sample, whose contents do not matter, in evaluation. */
static int
calibrate_weights (struct qk_graph *g)
{
  const struct qk_exec_options opt = { .batch = 1, .threads = 1 };
  void **input = zero_inputs (g);
  struct qk_exec *ex;
  int i, r;

  if (input == NULL)
    return qk_oom ("calibration");
  if ((r = qk_exec_new (g, &opt, &ex)) == 0) {
    qk_graph_set_observing (g, false, true);
    r = qk_exec_forward (ex, (const void *const *) input, 1, 0);
    qk_graph_set_observing (g, false, false);
    qk_exec_free (ex);
  }
  for (i = 0; i < g->n_inputs; i++)
    qk_free (input[i]);
  free (input);
  return r;
}

int
qk_stage_calibrate (struct qk_exec *float_ex, struct qk_graph *prepared,
                    struct qk_batches *b, int64_t limit, struct qk_monitor *m)
{
  struct qk_batch batch;
  int64_t done = 0;
  bool stop;
  int i, r;

  if ((r = check_data (float_ex, b)) < 0
      || (r = qk_batches_start (b, 0, 0)) < 0)
    return r;
  qk_graph_set_observing (prepared, true, false);
  qk_exec_set_hook (float_ex, collect_value, prepared);
  memset (&batch, 0, sizeof batch);
  while ((done == 0 || limit == 0 || batch.index + 1 < limit)
         && (r = qk_batches_next (b, &batch)) > 0) {
    if (done == 0)
      qk_progress_begin (m->progress, "calibrate",
                         samples (b, limit, batch.n));
    r = qk_exec_forward (float_ex, batch.input, batch.n, 0);
    /* all processes see the same batches */
    if (r == 0 && (r = agree_to_stop (m, &stop)) == 0 && stop)
      r = qk_error (-EINTR, "stopped");
    if (r < 0)
      break;
    done += batch.n;
    qk_progress_update (m->progress, done, NAN);
  }
  qk_exec_set_hook (float_ex, NULL, NULL);
  qk_graph_set_observing (prepared, false, false);
  qk_progress_end (m->progress);
  r = check_seen (r, done);
  for (i = 0; r >= 0 && i < prepared->n_values; i++)
    if (prepared->value[i].qz != NULL)
      r = qk_quantizer_refresh (prepared->value[i].qz);
  if (r < 0)
    return r;
  return calibrate_weights (prepared);
}

/* When the state was kept last, and where. */
struct kept {
  double at; /* qk_seconds */
  int64_t batch;
};

/* Whether it is time to keep the state, before the step at POS. */
static bool
is_due (const struct qk_train_options *opt, const struct kept *last,
        const struct qk_position *pos)
{
  if (opt->save == NULL || pos->batch <= last->batch)
    return false;
  return (opt->save_batches > 0 && pos->batch % opt->save_batches == 0)
         || (opt->save_minutes > 0
             && qk_seconds () - last->at >= 60 * opt->save_minutes);
}

/* What the processes have to tell each other before a step: how many samples
 * they have together (0: one of them has none, so that the batch is left out),
 * whether any wants to stop, and whether the first wants to keep the state. */
static int
agree_on_step (const struct qk_monitor *m, int64_t n, int64_t *all, bool *stop,
               bool *save)
{
  double sum[4]
    = { (double) n, qk_monitor_stopped (m) ? 1 : 0,
        *save && qk_comm_rank (m->comm) == 0 ? 1 : 0, n == 0 ? 1 : 0 };
  const int r = qk_comm_reduce (m->comm, QK_COMM_SUM, QK_COMM_F64, sum, 4);

  /* of a part where nothing can be decoded no statistics can be made */
  *all = sum[3] > 0 ? 0 : (int64_t) sum[0];
  *stop = sum[1] > 0;
  *save = sum[2] > 0;
  return r;
}

/* Keep the state before the step at POS; the first process then has what all
 * have added up, as it will when training goes on from there. */
static int
save_within (const struct qk_train_options *opt, const struct qk_objective *o,
             struct qk_monitor *m, struct qk_position *pos, struct kept *last)
{
  int r = qk_tally_join (&pos->tally, o, m->comm, 1);

  if (r < 0 || (r = opt->save (opt->cookie)) < 0)
    return r;
  if (qk_comm_rank (m->comm) > 0)
    qk_tally_reset (&pos->tally, o);
  last->at = qk_seconds ();
  last->batch = pos->batch;
  return 0;
}

/* All processes must have come to the same network. */
static int
check_same (struct qk_monitor *m, const struct qk_graph *g)
{
  int i, r = 0;

  for (i = 0; r == 0 && i < g->n_params; i++)
    r = qk_comm_check_same (
      m->comm, g->param[i].name, g->param[i].value.data,
      sizeof (float) * (size_t) qk_shape_count (&g->param[i].value.shape));
  return r;
}

/* qk_batches_next, with the time it took. */
static int
next_batch (struct qk_batches *b, struct qk_batch *batch,
            struct qk_tally *tally)
{
  const double t = qk_seconds ();
  const int r = qk_batches_next (b, batch);

  tally->waited += qk_seconds () - t;
  return r;
}

static int
step (const struct qk_subject *s, struct qk_optimize *o,
      const struct qk_train_options *opt)
{
  const int64_t steps = qk_optimize_steps (o, opt->batches);
  const int before = qk_threads_limit (qk_exec_threads (s->ex));
  const int r = qk_optimize_step (o, opt->epochs * steps, steps);

  qk_threads_limit (before);
  return r;
}

/* BATCH, and the step that it may complete; it is this process's part of ALL samples. */
static int
train_batch (const struct qk_subject *s, struct qk_optimize *o,
             const struct qk_batch *batch, int64_t all,
             const struct qk_train_options *opt, struct qk_comm *comm,
             struct qk_position *pos)
{
  struct qk_tensor ref[QK_MAX_REFERENCES];
  const struct qk_batch_part part = qk_optimize_begin (o, all, comm);
  double t = qk_seconds (), loss;
  int r;

  qk_exec_set_part (s->ex, (double) batch->n / (double) all, batch->first);
  qk_exec_set_weight (s->ex, part.weight);
  if (s->teacher != NULL
      && (r = qk_exec_forward (s->teacher, batch->input, batch->n, 0)) < 0)
    return qk_error_prefix (r, "teacher: ");
  qk_exec_set_step (s->ex, opt->seed, part.number);
  r = qk_exec_forward (s->ex, batch->input, batch->n,
                       opt->flags | QK_PASS_TRAIN);
  if (r < 0)
    return r;
  qk_objective_references (s->o, batch, s->teacher, ref);
  qk_objective_others (s->o, batch, ref);
  qk_exec_set_own (s->ex, batch->own);
  if ((r = qk_exec_backward (s->ex, ref, &loss)) < 0
      || (r = qk_tally_add (&pos->tally, s->o, s->ex, ref, s->teacher != NULL,
                            batch->n, loss))
           < 0)
    return r;
  r = qk_optimize_gathered (o, all) ? step (s, o, opt) : 0;
  pos->tally.seconds += qk_seconds () - t;
  return r;
}

int
qk_stage_train (const struct qk_subject *s, struct qk_optimize *o,
                struct qk_batches *b, const struct qk_train_options *opt,
                struct qk_monitor *m, struct qk_position *pos)
{
  const int64_t first = pos->batch, before = pos->tally.n;
  struct kept last = { qk_seconds (), first };
  int64_t all, seen = 0;
  struct qk_batch batch;
  bool begun = false, stop, save;
  int r = check_data (s->ex, b);

  if (r < 0)
    return r;
  if (first < opt->batches
      && (r = qk_batches_start (b, pos->epoch, first)) < 0)
    return r;
  if (qk_comm_rank (m->comm)
      > 0) /* the first process counts what was before */
    qk_tally_reset (&pos->tally, s->o);
  while (pos->batch < opt->batches) {
    if ((r = next_batch (b, &batch, &pos->tally)) <= 0)
      break;
    save = is_due (opt, &last, pos);
    if ((r = agree_on_step (m, batch.n, &all, &stop, &save)) < 0)
      break;
    if (stop) {
      r = qk_error (-EINTR, "stopped");
      break;
    }
    if (save && (r = save_within (opt, s->o, m, pos, &last)) < 0)
      break;
    if (all == 0) {
      pos->batch = batch.index + 1;
      continue;
    }
    if (!begun)
      qk_progress_begin (m->progress, opt->label,
                         samples (b, opt->batches, all) - before);
    begun = true;
    if ((r = train_batch (s, o, &batch, all, opt, m->comm, pos)) < 0)
      break;
    pos->batch = batch.index + 1;
    m->steps++;
    seen += all;
    qk_progress_update (m->progress, seen, mean_loss (&pos->tally));
  }
  qk_progress_end (m->progress);
  if (r >= 0 || r == -EINTR) {
    const int joined = qk_tally_join (&pos->tally, s->o, m->comm, 1);

    r = joined < 0 ? joined : r;
  }
  if (r >= 0 && o->gathered > 0) /* too few batches were left for a step */
    r = step (s, o, opt);
  if (r >= 0)
    r = check_same (m, o->g);
  if ((r = check_seen (r, pos->tally.n)) < 0)
    return r;
  pos->epoch++;
  pos->batch = 0;
  return 0;
}
