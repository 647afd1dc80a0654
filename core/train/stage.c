/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stage.c: evaluate, calibrate, train: loops over batches. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "passes/passes.h"
#include "quant/quantizer-priv.h"
#include "train/stage.h"

static int
classes_of (const struct qk_batches *b)
{
  return qk_batches_info (b)->classes;
}

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

  return qk_exec_check_data (ex, i->height, i->width, i->channels, i->classes);
}

/* A label is an index from here on. */
static int
check_labels (const struct qk_batch *batch, int classes)
{
  int64_t i;

  for (i = 0; i < batch->n; i++)
    if (batch->labels[i] < 0 || batch->labels[i] >= classes)
      return qk_error (-EINVAL,
                       "sample %lld of the dataset has label %d, expected 0 "
                       "to %d",
                       (long long) batch->indices[i], (int) batch->labels[i],
                       classes - 1);
  return 0;
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

int
qk_stage_evaluate (struct qk_exec *ex, struct qk_batches *b, int64_t limit,
                   const char *label, struct qk_monitor *m,
                   struct qk_metrics *out)
{
  const bool alone = qk_comm_size (m->comm) == 1;
  struct qk_batch batch;
  const float *logits;
  bool stop;
  double t;
  int r;

  memset (out, 0, sizeof *out);
  if ((r = check_data (ex, b)) < 0 || (r = qk_batches_start (b, 0, 0)) < 0)
    return r;
  memset (&batch, 0, sizeof batch);
  while ((limit == 0 || batch.index + 1 < limit || (alone && out->n == 0))
         && (r = qk_batches_next (b, &batch)) > 0) {
    if (limit > 0 && batch.index >= limit && !alone)
      break;
    if (out->n == 0)
      qk_progress_begin (m->progress, label, samples (b, limit, batch.n));
    if ((r = check_labels (&batch, classes_of (b))) < 0)
      break;
    t = qk_seconds ();
    if ((r = qk_exec_forward (ex, batch.images, batch.n, 0, &logits)) < 0)
      break;
    out->seconds += qk_seconds () - t;
    if ((r = qk_exec_check_finite (ex)) < 0)
      break;
    qk_metrics_add (out, logits, batch.n, classes_of (b), batch.labels);
    qk_progress_update (m->progress, out->n, qk_metrics_loss (out));
    if (alone && qk_monitor_stopped (m)) {
      r = qk_error (-EINTR, "stopped");
      break;
    }
  }
  qk_progress_end (m->progress);
  if (r >= 0 && !alone && (r = qk_metrics_join (out, m->comm)) == 0
      && (r = agree_to_stop (m, &stop)) == 0 && stop)
    r = qk_error (-EINTR, "stopped");
  return check_seen (r, out->n);
}

/* Feeds the values of the float network to another graph's quantizers. */
static int
collect_value (void *cookie, int node, const struct qk_tensor *t)
{
  struct qk_graph *g = cookie;
  struct qk_quantizer *qz = g->value[node < 0 ? 0 : g->node[node].out].qz;

  if (qz == NULL)
    return 0;
  return qk_quantizer_collect (qz, t->data,
                               (size_t) qk_shape_count (&t->shape));
}

/* The weight quantizers see the folded weights in a forward pass of one
 * sample, whose contents do not matter, in evaluation. */
static int
calibrate_weights (struct qk_graph *g)
{
  float *image
    = qk_alloc (sizeof (float) * (size_t) qk_shape_count (&g->value[0].shape));
  struct qk_exec_options opt;
  struct qk_exec *ex;
  const float *logits;
  int r;

  if (image == NULL)
    return qk_oom ("calibration");
  memset (&opt, 0, sizeof opt);
  opt.batch = 1;
  opt.threads = 1;
  if ((r = qk_exec_new (g, &opt, &ex)) < 0) {
    qk_free (image);
    return r;
  }
  qk_graph_set_observing (g, false, true);
  r = qk_exec_forward (ex, image, 1, 0, &logits);
  qk_graph_set_observing (g, false, false);
  qk_exec_free (ex);
  qk_free (image);
  return r;
}

int
qk_stage_calibrate (struct qk_exec *float_ex, struct qk_graph *prepared,
                    struct qk_batches *b, int64_t limit, struct qk_monitor *m)
{
  struct qk_batch batch;
  const float *logits;
  int64_t done = 0;
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
    r = qk_exec_forward (float_ex, batch.images, batch.n, 0, &logits);
    if (r == 0 && qk_monitor_stopped (m))
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

/* What the processes have to tell each other before a step: how many samples
 * they have together, and whether any wants to stop. */
static int
agree_on_step (const struct qk_monitor *m, int64_t n, int64_t *all, bool *stop)
{
  double sum[2] = { (double) n, qk_monitor_stopped (m) ? 1 : 0 };
  const int r = qk_comm_reduce (m->comm, QK_COMM_SUM, QK_COMM_F64, sum, 2);

  *all = (int64_t) sum[0];
  *stop = sum[1] > 0;
  return r;
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
            struct qk_metrics *metrics)
{
  const double t = qk_seconds ();
  const int r = qk_batches_next (b, batch);

  metrics->waited += qk_seconds () - t;
  return r;
}

/* One step on BATCH, this process's part of ALL samples. */
static int
train_batch (struct qk_exec *ex, struct qk_optimize *o,
             const struct qk_batch *batch, int64_t all, int classes,
             const struct qk_train_options *opt, struct qk_position *pos)
{
  const float *logits;
  float loss;
  double t = qk_seconds ();
  int r;

  if ((r = check_labels (batch, classes)) < 0)
    return r;
  qk_exec_set_part (ex, (double) batch->n / (double) all, batch->first);
  if (opt->teacher != NULL) {
    r = qk_exec_forward (opt->teacher, batch->images, batch->n, 0, &logits);
    if (r < 0)
      return qk_error_prefix (r, "teacher: ");
    qk_exec_set_teacher (ex, logits);
  }
  qk_exec_set_step (ex, opt->seed, (uint64_t) o->t);
  r = qk_exec_forward (ex, batch->images, batch->n, opt->flags | QK_PASS_TRAIN,
                       &logits);
  if (r < 0)
    return r;
  qk_metrics_add (&pos->metrics, logits, batch->n, classes, batch->labels);
  if ((r = qk_exec_backward (ex, batch->labels, &loss)) < 0)
    return r;
  r = qk_optimize_step (o, opt->epochs * opt->batches, opt->batches);
  pos->metrics.seconds += qk_seconds () - t;
  return r;
}

int
qk_stage_train (struct qk_exec *ex, struct qk_optimize *o,
                struct qk_batches *b, const struct qk_train_options *opt,
                struct qk_monitor *m, struct qk_position *pos)
{
  const int64_t first = pos->batch, before = pos->metrics.n;
  int64_t all, seen = 0;
  struct qk_batch batch;
  bool begun = false, stop;
  int r = check_data (ex, b);

  if (r < 0)
    return r;
  if (first < opt->batches
      && (r = qk_batches_start (b, pos->epoch, first)) < 0)
    return r;
  if (qk_comm_rank (m->comm)
      > 0) /* the first process counts what was before */
    memset (&pos->metrics, 0, sizeof pos->metrics);
  while (pos->batch < opt->batches) {
    if ((r = next_batch (b, &batch, &pos->metrics)) <= 0
        || (r = agree_on_step (m, batch.n, &all, &stop)) < 0)
      break;
    if (stop) {
      r = qk_error (-EINTR, "stopped");
      break;
    }
    if (!begun)
      qk_progress_begin (m->progress, opt->label,
                         samples (b, opt->batches, all) - before);
    begun = true;
    r = train_batch (ex, o, &batch, all, classes_of (b), opt, pos);
    if (r < 0)
      break;
    pos->batch = batch.index + 1;
    m->steps++;
    seen += all;
    qk_progress_update (m->progress, seen, qk_metrics_loss (&pos->metrics));
  }
  qk_progress_end (m->progress);
  if (r >= 0 || r == -EINTR) {
    const int joined = qk_metrics_join (&pos->metrics, m->comm);

    r = joined < 0 ? joined : r;
  }
  if (r >= 0)
    r = check_same (m, o->g);
  if ((r = check_seen (r, pos->metrics.n)) < 0)
    return r;
  pos->epoch++;
  pos->batch = 0;
  return 0;
}
