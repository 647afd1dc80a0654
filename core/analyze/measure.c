/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* measure.c: whole networks, on all samples and on the subset. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/priv.h"
#include "train/tables.h"

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

/* A network at work, and FLOAT beside it where something is compared with
 * it. */
struct measured {
  struct qk_subject s;
  struct qk_exec *own_teacher;
};

static void
close_measured (struct measured *m)
{
  qk_exec_free (m->own_teacher);
  qk_exec_free (m->s.ex);
}

static int
open_measured (struct qk_analyzer *z, struct qk_graph *g, int64_t batch,
               struct measured *m)
{
  const struct qk_objective *o = z->session.objective;
  const struct qk_dataset_info *i = &z->data->info;
  struct qk_exec_options opt;
  int r;

  memset (m, 0, sizeof *m);
  m->s.o = o;
  m->s.during = QK_DURING_QAT;
  qk_settings_exec_options (z->opt->settings, batch, false, &opt);
  qk_objective_give (o, &opt);
  if ((r = qk_exec_new (g, &opt, &m->s.ex)) < 0
      || (r = qk_exec_check_data (m->s.ex, i->input, i->n_inputs)) < 0
      || !(qk_objective_needs_teacher (o, 0)
           || qk_objective_needs_teacher (o, QK_DURING_QAT)))
    return r;
  if (g != z->float_g)
    r = qk_exec_new (z->float_g, &opt, &m->own_teacher);
  m->s.teacher = g == z->float_g ? m->s.ex : m->own_teacher;
  return r;
}

/* The network on one batch: its outputs, and into T what they are worth.  REF
 * has room for QK_MAX_REFERENCES. */
static int
measure_batch (const struct measured *m, const struct qk_batch *b,
               struct qk_tensor *ref, struct qk_tally *t)
{
  const struct qk_subject *s = &m->s;
  double start = qk_seconds (), loss;
  int r;

  if ((r = qk_exec_forward (s->ex, b->input, b->n, 0)) < 0)
    return r;
  t->seconds += qk_seconds () - start;
  if ((r = qk_exec_check_finite (s->ex)) < 0
      || (m->own_teacher != NULL
          && (r = qk_exec_forward (m->own_teacher, b->input, b->n, 0)) < 0))
    return r;
  qk_objective_references (s->o, b, s->teacher, ref);
  r = qk_objective_loss_of (s->o, s->during, s->ex, ref, s->teacher != NULL, 1,
                            &loss);
  return r < 0 ? r
               : qk_tally_add (t, s->o, s->ex, ref, s->teacher != NULL, b->n,
                               loss);
}

/* ---- all samples ----------------------------------------------------------*/

/* Sample I of a batch's tensor. */
static struct qk_tensor
one_sample (const struct qk_tensor *t, int64_t i)
{
  struct qk_tensor one = *t;

  one.shape.dims[0] = 1;
  one.data
    = (char *) t->data
      + (size_t) (i * qk_shape_count (&one.shape)) * qk_dtype_size (t->dtype);
  return one;
}

/* The score by which the networks are judged, of sample I alone; NaN where
 * it is the loss, or one of all samples at once. */
static int
sample_score (const struct qk_analyzer *z, const struct measured *m,
              const struct qk_tensor *ref, int64_t i, double *sums,
              double *score)
{
  struct qk_tensor out[QK_GRAPH_MAX_INPUTS], own[QK_GRAPH_MAX_INPUTS];
  const struct qk_objective *o = m->s.o;
  double all[QK_METRIC_MAX_SCORES];
  int j, k, r;

  *score = (double) NAN;
  for (k = 0; k < o->n_metrics; k++) {
    const struct qk_objective_metric *x = &o->metric[k];
    const struct qk_metric_io io = { x->c.n_out, x->c.n_ref, out, own };

    if (z->a->score < x->first || z->a->score >= x->first + x->n_scores
        || (x->cls->reference == QK_REFERENCE_TEACHER && m->s.teacher == NULL)
        || x->kept > 0)
      continue;
    for (j = 0; j < x->c.n_out; j++)
      out[j] = one_sample (qk_exec_output (m->s.ex, x->c.out[j]), i);
    for (j = 0; j < x->c.n_ref; j++)
      own[j] = one_sample (&ref[x->c.ref[j]], i);
    memset (sums, 0, x->n_sums * sizeof *sums);
    if ((r = x->cls->update (x->self, &io, sums)) < 0)
      return r;
    x->cls->result (x->self, sums, 1, all);
    *score = all[z->a->score - x->first];
  }
  return 0;
}

/* Compare a batch sample by sample with FLOAT, or (KEEP) keep its scores. */
static int
compare_samples (struct qk_analyzer *z, const struct measured *m,
                 const struct qk_batch *b, const struct qk_tensor *ref,
                 bool keep, double *sums, struct qk_analyze_network *out)
{
  const bool larger = z->a->score_spec.larger_is_better;
  int64_t i;
  int r;

  for (i = 0; i < b->n; i++) {
    double *was = &z->float_score[b->indices[i]], is, d;

    if ((r = sample_score (z, m, ref, i, sums, &is)) < 0)
      return r;
    if (keep)
      *was = is;
    d = larger ? *was - is : is - *was; /* how much worse */
    if (isnan (d))
      continue;
    out->lost += d > 0;
    out->won += d < 0;
    out->squares += d * d;
  }
  return 0;
}

static int
run_all (struct qk_analyzer *z, const struct measured *m,
         enum qk_analyze_net net, double *sums, struct qk_tally *t)
{
  struct qk_analyze_network *out = &z->a->net[net];
  const int64_t limit = z->opt->batches, all = z->data->info.count;
  struct qk_tensor ref[QK_MAX_REFERENCES];
  struct qk_batch b;
  int64_t i;
  int r;

  if ((r = qk_batches_start (z->data->batches, 0, 0)) < 0)
    return r;
  qk_progress_begin (
    z->opt->m->progress, qk_analyze_net_name (net),
    limit > 0 && limit * z->data->batch < all ? limit * z->data->batch : all);
  for (i = 0; limit == 0 || i < limit; i++) {
    if ((r = qk_batches_next (z->data->batches, &b)) <= 0
        || (r = measure_batch (m, &b, ref, t)) < 0
        || (r
            = compare_samples (z, m, &b, ref, net == QK_NET_FLOAT, sums, out))
             < 0)
      break;
    qk_progress_update (z->opt->m->progress, t->n, NAN);
    if (qk_monitor_stopped (z->opt->m)) {
      r = qk_error (-EINTR, "stopped");
      break;
    }
  }
  qk_progress_end (z->opt->m->progress);
  if (r >= 0 && t->n == 0)
    return qk_error (-ENODATA, "no sample of the dataset can be decoded");
  if (r < 0
      || (r = qk_tally_join (t, m->s.o, NULL, qk_exec_threads (m->s.ex))) < 0)
    return r;
  qk_tally_scores (t, m->s.o, &out->scores);
  out->tables = qk_tables_to_json (m->s.o, t);
  out->valid = true;
  return out->tables == NULL ? qk_oom ("tables") : 0;
}

static int
one_network (struct qk_analyzer *z, enum qk_analyze_net net,
             struct qk_graph *g, unsigned parts)
{
  const struct qk_objective *o = z->session.objective;
  double *sums = calloc (o->n_sums + 1, sizeof *sums);
  struct measured m = { .own_teacher = NULL };
  struct qk_tally t = { .sums = NULL };
  int r = 0;

  if (g == NULL)
    goto end;
  if (g == z->g)
    qk_switch_set (&z->sw, parts, QK_SWITCH_ALL, false);
  if (sums == NULL)
    r = qk_oom ("analyze");
  else if ((r = qk_tally_init (&t, o, true)) == 0
           && (r = open_measured (z, g, z->data->batch, &m)) == 0)
    r = run_all (z, &m, net, sums, &t);
  close_measured (&m);
  if (r == 0)
    r = qk_analyze_point (z, g, &z->a->net[net].subset);
end:
  qk_tally_clear (&t);
  free (sums);
  return r < 0 ? qk_error_prefix (r, "%s: ", qk_analyze_net_name (net)) : 0;
}

int
qk_analyze_networks (struct qk_analyzer *z)
{
  const unsigned values = QK_SWITCH_VALUES, weights = QK_SWITCH_WEIGHTS;
  int64_t i;
  int r;

  z->float_score
    = malloc (((size_t) z->data->info.count + 1) * sizeof *z->float_score);
  if (z->float_score == NULL)
    return qk_oom ("analyze");
  for (i = 0; i < z->data->info.count; i++)
    z->float_score[i] = (double) NAN;
  if ((r = one_network (z, QK_NET_FLOAT, z->float_g, 0)) < 0
      || (r = one_network (z, QK_NET_ORIGINAL, z->original_g, 0)) < 0
      || (r = one_network (z, QK_NET_WEIGHTS, z->g, weights)) < 0
      || (r = one_network (z, QK_NET_ACTIVATIONS, z->g, values)) < 0
      || (r = one_network (z, QK_NET_BOTH, z->g, values | weights)) < 0)
    return r;
  return one_network (z, QK_NET_INT8, z->int8_g, 0);
}

/* ---- the subset -------------------------------------------------------------*/

/* Room for N samples of each tensor; NULL data where there is no memory. */
static int
room_for (const struct qk_tensor_spec *spec, int count, int64_t n, void **data)
{
  int i;

  for (i = 0; i < count; i++) {
    const size_t size = qk_spec_bytes (&spec[i]);

    data[i] = (size_t) n <= SIZE_MAX / 2 / size ? qk_alloc ((size_t) n * size)
                                                : NULL;
    if (data[i] == NULL)
      return qk_oom ("analyze: %lld samples", (long long) n);
  }
  return 0;
}

/* Sample FROM of a batch's tensors to sample TO of the subset's. */
static void
copy_sample (const struct qk_tensor_spec *spec, int count,
             const void *const *batch, int64_t from, void *const *subset,
             int64_t to)
{
  int i;

  for (i = 0; i < count; i++) {
    const size_t size = qk_spec_bytes (&spec[i]);

    memcpy ((char *) subset[i] + (size_t) to * size,
            (const char *) batch[i] + (size_t) from * size, size);
  }
}

/* Keep the first samples of the random order. */
static int
load_subset (struct qk_analyzer *z)
{
  struct qk_subset *s = &z->subset;
  const struct qk_dataset_info *d = &z->data->info;
  int64_t want = z->opt->samples, i;
  struct qk_batch b;
  int r;

  if (want > d->count)
    want = d->count;
  s->batch = z->data->batch < want ? z->data->batch : want;
  if ((r = room_for (d->input, d->n_inputs, want, s->input)) < 0
      || (r = room_for (d->target, d->n_targets, want, s->target)) < 0
      || (r = qk_batches_start (z->data->batches, 0, 0)) < 0)
    return r;
  while (s->n < want && (r = qk_batches_next (z->data->batches, &b)) > 0)
    for (i = 0; i < b.n && s->n < want; i++, s->n++) {
      copy_sample (d->input, d->n_inputs, b.input, i, s->input, s->n);
      copy_sample (d->target, d->n_targets, b.target, i, s->target, s->n);
    }
  if (r >= 0 && s->n == 0)
    return qk_error (-ENODATA, "no sample of the dataset can be decoded");
  z->a->subset = s->n;
  return r < 0 ? r : 0;
}

void
qk_subset_batch (const struct qk_analyzer *z, int64_t first, int64_t n,
                 const void **input, const void **target, struct qk_batch *b)
{
  const struct qk_dataset_info *d = &z->data->info;
  int i;

  for (i = 0; i < d->n_inputs; i++)
    input[i] = (const char *) z->subset.input[i]
               + (size_t) first * qk_spec_bytes (&d->input[i]);
  for (i = 0; i < d->n_targets; i++)
    target[i] = (const char *) z->subset.target[i]
                + (size_t) first * qk_spec_bytes (&d->target[i]);
  memset (b, 0, sizeof *b);
  b->n = n;
  b->input = input;
  b->target = target;
}

/* Elements of output I for one sample. */
static int64_t
output_size (const struct qk_analyzer *z, int i)
{
  return qk_shape_count (&z->session.objective->output[i].shape);
}

/* G on the subset: its outputs into OUT, one output after the other, and what
 * they are worth into SCORES (may be NULL). */
static int
run_subset (struct qk_analyzer *z, struct qk_graph *g, float *out,
            struct qk_scores *scores)
{
  const void *input[QK_DATASET_MAX_TENSORS], *target[QK_DATASET_MAX_TENSORS];
  const struct qk_objective *o = z->session.objective;
  const struct qk_subset *s = &z->subset;
  struct qk_tensor ref[QK_MAX_REFERENCES];
  struct measured m = { .own_teacher = NULL };
  struct qk_tally t;
  int64_t i;
  int r, k;

  if ((r = qk_tally_init (&t, o, true)) < 0)
    return r;
  r = open_measured (z, g, s->batch, &m);
  for (i = 0; r == 0 && i < s->n; i += s->batch) {
    const int64_t n = s->n - i < s->batch ? s->n - i : s->batch;
    float *to = out;
    struct qk_batch b;

    qk_subset_batch (z, i, n, input, target, &b);
    if ((r = measure_batch (&m, &b, ref, &t)) < 0)
      break;
    for (k = 0; k < o->n_outputs; k++) {
      const int64_t size = output_size (z, k);

      memcpy (to + i * size, qk_exec_output (m.s.ex, k)->data,
              (size_t) (n * size) * sizeof *to);
      to += s->n * size;
    }
    if (qk_monitor_stopped (z->opt->m))
      r = qk_error (-EINTR, "stopped");
  }
  if (r == 0 && scores != NULL
      && (r = qk_tally_join (&t, o, NULL, qk_exec_threads (m.s.ex))) == 0)
    qk_tally_scores (&t, o, scores);
  close_measured (&m);
  qk_tally_clear (&t);
  return r;
}

int
qk_analyze_point (struct qk_analyzer *z, struct qk_graph *g,
                  struct qk_analyze_point *out)
{
  struct qk_scores scores;
  double signal = 0, noise = 0;
  int64_t i;
  int r;

  memset (out, 0, sizeof *out);
  if ((r = run_subset (z, g, z->out, &scores)) < 0)
    return r;
  for (i = 0; i < z->out_size; i++) {
    const double x = z->float_out[i], d = z->out[i] - x;

    signal += x * x;
    noise += d * d;
  }
  out->valid = true;
  out->sqnr = qk_decibel (signal, noise);
  out->loss = scores.loss;
  out->score = qk_scores_get (&scores, z->a->score);
  return 0;
}

int
qk_analyze_subset (struct qk_analyzer *z)
{
  int i, r;

  if ((r = load_subset (z)) < 0)
    return r;
  for (i = 0; i < z->session.objective->n_outputs; i++)
    z->out_size += z->subset.n * output_size (z, i);
  z->float_out = calloc ((size_t) z->out_size + 1, sizeof *z->float_out);
  z->out = calloc ((size_t) z->out_size + 1, sizeof *z->out);
  if (z->float_out == NULL || z->out == NULL)
    return qk_oom ("analyze");
  return run_subset (z, z->float_g, z->float_out, NULL);
}
