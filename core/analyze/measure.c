/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* measure.c: whole networks, on all samples and on the subset. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/priv.h"

double
qk_decibel (double signal, double noise)
{
  return noise > 0 ? 10 * log10 (signal / noise) : (double) INFINITY;
}

const char *
qk_analyze_net_name (enum qk_analyze_net net)
{
  static const char *const names[QK_NETS]
    = { "float, before QAT", "float",          "weights only",
        "activations only",  "fake-quantized", "int8" };

  return names[net];
}

static int
open_exec (struct qk_analyzer *z, struct qk_graph *g, int64_t batch,
           struct qk_exec **ex)
{
  const struct qk_dataset_info *i = &z->data->info;
  struct qk_exec_options opt;
  int r;

  qk_settings_exec_options (z->opt->settings, batch, false, &opt);
  if ((r = qk_exec_new (g, &opt, ex)) < 0)
    return r;
  return qk_exec_check_data (*ex, i->height, i->width, i->channels,
                             i->classes);
}

static int
check_label (const struct qk_analyzer *z, int64_t sample, int32_t label)
{
  if (label >= 0 && label < z->a->classes)
    return 0;
  return qk_error (-EINVAL,
                   "sample %lld of the dataset has label %d, expected 0 to "
                   "%d",
                   (long long) sample, (int) label, z->a->classes - 1);
}

/* ---- all samples ----------------------------------------------------------*/

/* Compare the answers of a batch with those of FLOAT, or keep them. */
static int
count_answers (struct qk_analyzer *z, const struct qk_batch *b,
               const float *logits, bool keep, struct qk_analyze_network *out)
{
  const int classes = z->a->classes;
  int64_t i;
  int r;

  for (i = 0; i < b->n; i++) {
    int8_t *was = &z->correct[b->indices[i]];
    bool right;

    if ((r = check_label (z, b->indices[i], b->labels[i])) < 0)
      return r;
    right = qk_rank (logits + i * classes, classes, b->labels[i]) == 0;
    if (keep)
      *was = right;
    out->lost += *was == 1 && !right;
    out->won += *was == 0 && right;
  }
  return 0;
}

static int
run_all (struct qk_analyzer *z, struct qk_exec *ex, enum qk_analyze_net net)
{
  struct qk_analyze_network *out = &z->a->net[net];
  const int64_t limit = z->opt->batches, all = z->data->info.count;
  struct qk_batch b;
  const float *logits;
  int64_t i;
  int r;

  if ((r = qk_batches_start (z->data->batches, 0, 0)) < 0)
    return r;
  qk_progress_begin (
    z->opt->m->progress, qk_analyze_net_name (net),
    limit > 0 && limit * z->data->batch < all ? limit * z->data->batch : all);
  for (i = 0; limit == 0 || i < limit; i++) {
    double t;

    if ((r = qk_batches_next (z->data->batches, &b)) <= 0)
      break;
    t = qk_seconds ();
    if ((r = qk_exec_forward (ex, b.images, b.n, 0, &logits)) < 0)
      break;
    out->metrics.seconds += qk_seconds () - t;
    if ((r = qk_exec_check_finite (ex)) < 0
        || (r = count_answers (z, &b, logits, net == QK_NET_FLOAT, out)) < 0)
      break;
    qk_metrics_add (&out->metrics, logits, b.n, z->a->classes, b.labels);
    qk_progress_update (z->opt->m->progress, out->metrics.n, NAN);
    if (qk_monitor_stopped (z->opt->m)) {
      r = qk_error (-EINTR, "stopped");
      break;
    }
  }
  qk_progress_end (z->opt->m->progress);
  if (r >= 0 && out->metrics.n == 0)
    return qk_error (-ENODATA, "no sample of the dataset can be decoded");
  out->valid = r >= 0;
  return r < 0 ? r : 0;
}

static int
one_network (struct qk_analyzer *z, enum qk_analyze_net net,
             struct qk_graph *g, unsigned parts)
{
  struct qk_exec *ex = NULL;
  int r;

  if (g == NULL)
    return 0;
  if (g == z->run.g)
    qk_switch_set (&z->sw, parts, QK_SWITCH_ALL, false);
  if ((r = open_exec (z, g, z->data->batch, &ex)) == 0)
    r = run_all (z, ex, net);
  qk_exec_free (ex);
  if (r == 0)
    r = qk_analyze_point (z, g, &z->a->net[net].subset);
  return r < 0 ? qk_error_prefix (r, "%s: ", qk_analyze_net_name (net)) : 0;
}

int
qk_analyze_networks (struct qk_analyzer *z)
{
  const unsigned values = QK_SWITCH_VALUES, weights = QK_SWITCH_WEIGHTS;
  int r;

  z->correct = malloc ((size_t) z->data->info.count + 1);
  if (z->correct == NULL)
    return qk_oom ("analyze");
  memset (z->correct, -1, (size_t) z->data->info.count + 1);
  if ((r = one_network (z, QK_NET_FLOAT, z->float_g, 0)) < 0
      || (r = one_network (z, QK_NET_ORIGINAL, z->original_g, 0)) < 0
      || (r = one_network (z, QK_NET_WEIGHTS, z->run.g, weights)) < 0
      || (r = one_network (z, QK_NET_ACTIVATIONS, z->run.g, values)) < 0
      || (r = one_network (z, QK_NET_BOTH, z->run.g, values | weights)) < 0)
    return r;
  return one_network (z, QK_NET_INT8, z->int8_g, 0);
}

/* ---- the subset -------------------------------------------------------------*/

/* Keep the first samples of the random order. */
static int
load_sample (struct qk_analyzer *z)
{
  struct qk_subset *s = &z->subset;
  const struct qk_dataset_info *info = &z->data->info;
  int64_t want = z->opt->samples, i;
  struct qk_batch b;
  int r;

  if (want > info->count)
    want = info->count;
  s->size = info->height * info->width * info->channels;
  s->batch = z->data->batch < want ? z->data->batch : want;
  s->images = want <= INT64_MAX / (s->size * (int64_t) sizeof (float))
                ? qk_alloc ((size_t) (want * s->size) * sizeof (float))
                : NULL;
  s->labels = calloc ((size_t) want + 1, sizeof *s->labels);
  if (s->images == NULL || s->labels == NULL)
    return qk_oom ("analyze: %lld samples", (long long) want);
  if ((r = qk_batches_start (z->data->batches, 0, 0)) < 0)
    return r;
  while (s->n < want && (r = qk_batches_next (z->data->batches, &b)) > 0)
    for (i = 0; i < b.n && s->n < want; i++, s->n++) {
      if ((r = check_label (z, b.indices[i], b.labels[i])) < 0)
        return r;
      memcpy (s->images + s->n * s->size, b.images + i * s->size,
              (size_t) s->size * sizeof (float));
      s->labels[s->n] = b.labels[i];
    }
  if (r >= 0 && s->n == 0)
    return qk_error (-ENODATA, "no sample of the dataset can be decoded");
  z->a->subset = s->n;
  return r < 0 ? r : 0;
}

static int
run_sample (struct qk_analyzer *z, struct qk_graph *g, float *logits)
{
  const struct qk_subset *s = &z->subset;
  const int classes = z->a->classes;
  struct qk_exec *ex = NULL;
  const float *x;
  int64_t i;
  int r = open_exec (z, g, s->batch, &ex);

  for (i = 0; r == 0 && i < s->n; i += s->batch) {
    const int64_t n = s->n - i < s->batch ? s->n - i : s->batch;

    if ((r = qk_exec_forward (ex, s->images + i * s->size, n, 0, &x)) < 0
        || (r = qk_exec_check_finite (ex)) < 0)
      break;
    memcpy (logits + i * classes, x, (size_t) (n * classes) * sizeof *logits);
    if (qk_monitor_stopped (z->opt->m))
      r = qk_error (-EINTR, "stopped");
  }
  qk_exec_free (ex);
  return r;
}

int
qk_analyze_point (struct qk_analyzer *z, struct qk_graph *g,
                  struct qk_analyze_point *out)
{
  const struct qk_subset *s = &z->subset;
  const int classes = z->a->classes;
  struct qk_metrics m;
  double signal = 0, noise = 0;
  int64_t i, agree = 0;
  int r;

  memset (out, 0, sizeof *out);
  memset (&m, 0, sizeof m);
  if ((r = run_sample (z, g, z->logits)) < 0)
    return r;
  for (i = 0; i < s->n * classes; i++) {
    const double x = z->float_logits[i], d = z->logits[i] - x;

    signal += x * x;
    noise += d * d;
  }
  for (i = 0; i < s->n; i++) {
    int a, b;

    qk_top_k (z->float_logits + i * classes, classes, 1, &a);
    qk_top_k (z->logits + i * classes, classes, 1, &b);
    agree += a == b;
  }
  qk_metrics_add (&m, z->logits, s->n, classes, s->labels);
  out->valid = true;
  out->sqnr = qk_decibel (signal, noise);
  out->loss = qk_metrics_loss (&m);
  out->top1 = qk_metrics_top1 (&m);
  out->agree = (double) agree / (double) s->n;
  return 0;
}

int
qk_analyze_subset (struct qk_analyzer *z)
{
  size_t n;
  int r;

  if ((r = load_sample (z)) < 0)
    return r;
  n = (size_t) (z->subset.n * z->a->classes);
  z->float_logits = calloc (n + 1, sizeof *z->float_logits);
  z->logits = calloc (n + 1, sizeof *z->logits);
  if (z->float_logits == NULL || z->logits == NULL)
    return qk_oom ("analyze");
  return run_sample (z, z->float_g, z->float_logits);
}
