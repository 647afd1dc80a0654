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

/* After a pass over the data that left R: it must have seen pictures. */
static int
check_seen (int r, int64_t seen)
{
  if (r < 0)
    return r;
  return seen > 0 ? 0
                  : qk_error (-ENODATA, "no picture of the dataset can be "
                              "decoded");
}

/* The dataset must fit the network. */
static int
check_data (const struct qk_exec *ex, const struct qk_batches *b)
{
  const struct qk_dataset_info *i = qk_batches_info (b);

  return qk_exec_check_data (ex, i->height, i->width, i->channels,
                             i->classes);
}

/* A label is an index from here on. */
static int
check_labels (const struct qk_batch *batch, int classes)
{
  int64_t i;

  for (i = 0; i < batch->n; i++)
    if (batch->labels[i] < 0 || batch->labels[i] >= classes)
      return qk_error (-EINVAL,
                       "picture %lld of the dataset has label %d, expected 0 "
                       "to %d",
                       (long long) batch->indices[i], (int) batch->labels[i],
                       classes - 1);
  return 0;
}

static int64_t
pictures (const struct qk_batches *b, int64_t limit, int64_t batch)
{
  const int64_t all = qk_batches_info (b)->count;

  return limit > 0 && limit * batch < all ? limit * batch : all;
}

int
qk_stage_evaluate (struct qk_exec *ex, struct qk_batches *b, int64_t limit,
                   const char *label, struct qk_monitor *m,
                   struct qk_metrics *out)
{
  struct qk_batch batch;
  const float *logits;
  double t;
  int r;

  memset (out, 0, sizeof *out);
  if ((r = check_data (ex, b)) < 0 || (r = qk_batches_start (b, 0, 0)) < 0)
    return r;
  memset (&batch, 0, sizeof batch);
  while ((limit == 0 || batch.index + 1 < limit || out->n == 0)
         && (r = qk_batches_next (b, &batch)) > 0) {
    if (out->n == 0)
      qk_progress_begin (m->progress, label, pictures (b, limit, batch.n));
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
    if (qk_monitor_stopped (m)) {
      r = qk_error (-EINTR, "stopped");
      break;
    }
  }
  qk_progress_end (m->progress);
  return check_seen (r, out->n);
}

/* Feeds the values of the float network to another graph's quantizers. */
static int
collect_value (void *cookie, int node, const struct qk_tensor *t)
{
  struct qk_graph *g = cookie;
  struct qk_quantizer *qz
    = g->value[node < 0 ? 0 : g->node[node].out].qz;

  if (qz == NULL)
    return 0;
  return qk_quantizer_collect (qz, t->data,
                               (size_t) qk_shape_count (&t->shape));
}

/* The weight quantizers see the folded weights in a forward pass of one
 * picture, whose contents do not matter, in evaluation. */
static int
calibrate_weights (struct qk_graph *g)
{
  float *image = qk_alloc (sizeof (float)
                           * (size_t) qk_shape_count (&g->value[0].shape));
  struct qk_exec_options opt;
  struct qk_exec *ex;
  const float *logits;
  int r;

  if (image == NULL)
    return qk_error (-ENOMEM, "calibration: out of memory");
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
                         pictures (b, limit, batch.n));
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

static int
train_batch (struct qk_exec *ex, struct qk_optimize *o,
             const struct qk_batch *batch, int classes,
             const struct qk_train_options *opt, struct qk_position *pos)
{
  const float *logits;
  float loss;
  double t = qk_seconds ();
  int r;

  if ((r = check_labels (batch, classes)) < 0)
    return r;
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
  struct qk_batch batch;
  bool begun = false;
  int r = check_data (ex, b);

  if (r < 0)
    return r;
  if (first < opt->batches
      && (r = qk_batches_start (b, pos->epoch, first)) < 0)
    return r;
  while (pos->batch < opt->batches) {
    if (qk_monitor_stopped (m)) {
      r = qk_error (-EINTR, "stopped");
      break;
    }
    if ((r = qk_batches_next (b, &batch)) <= 0)
      break;
    if (!begun)
      qk_progress_begin (m->progress, opt->label,
                         pictures (b, opt->batches, batch.n) - before);
    begun = true;
    r = train_batch (ex, o, &batch, classes_of (b), opt, pos);
    if (r < 0)
      break;
    pos->batch = batch.index + 1;
    m->steps++;
    qk_progress_update (m->progress, pos->metrics.n - before,
                        qk_metrics_loss (&pos->metrics));
  }
  qk_progress_end (m->progress);
  if ((r = check_seen (r, pos->metrics.n)) < 0)
    return r;
  pos->epoch++;
  pos->batch = 0;
  return 0;
}
