/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* multilabel: how well the labels of samples with several of them are found:
 * mean average precision over the labels that occur, and precision, recall and
 * F1 of all labels together at a threshold.
 *
 * z, t f32 (N,…,C), t 0 or 1.  The average precision of a label is
 *   sum_k (R_k - R_{k-1}) P_k
 * over thresholds at its scores, as scikit-learn's; scores, sigmoid (z), are
 * told apart in steps of 1/4096.
 * Sums: per label the histograms of the scores of negative and positive
 * samples; then true positives, answers, positives, samples with all labels
 * right, samples; then the first three of each label.
 *
 * Its table has these numbers of each label, and the threshold, in steps of
 * 1/4096, from which on its F1 would be largest, with that F1. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/metric.h>

#include "pairs/pairs.h"

#define STEPS 4096
#define MOST_LABELS 2048 /* 128 MB of sums */

enum { FOUND, ANSWERED, THERE, PARTS, EXACT = PARTS, SAMPLES, TOTALS };

struct multilabel {
  int64_t labels;
  double least; /* logit that is an answer */
};

static int
multilabel_create (const struct qk_config *cfg, void **self)
{
  struct multilabel *m = calloc (1, sizeof *m);
  const double t = qk_config_float (cfg, "threshold");

  if (m == NULL)
    return qk_oom ("multilabel");
  m->least = log (t / (1 - t));
  *self = m;
  return 0;
}

static void
multilabel_destroy (void *self)
{
  free (self);
}

static int
multilabel_check (void *self, const struct qk_tensor_spec *out, int n_out,
                  const struct qk_tensor_spec *ref, int n_ref)
{
  struct multilabel *m = self;
  const int r = pairs_check_equal ("multilabel", out, n_out, ref, n_ref);

  if (r < 0)
    return r;
  if (n_out != 1)
    return qk_error (-EINVAL, "multilabel: compares one output, got %d",
                     n_out);
  m->labels = out->shape.dims[out->shape.ndim - 1];
  return m->labels <= MOST_LABELS
           ? 0
           : qk_error (-EINVAL, "multilabel: %lld labels, at most %d",
                       (long long) m->labels, MOST_LABELS);
}

static const struct qk_score_spec *
multilabel_scores (void *self, int *n)
{
  static const struct qk_score_spec scores[] = {
    { "map", "mAP", true, true, 2 },      { "f1", "F1", true, true, 2 },
    { "precision", NULL, true, true, 2 }, { "recall", NULL, true, true, 2 },
    { "exact", NULL, true, true, 2 },
  };

  (void) self;
  *n = 5;
  return scores;
}

static size_t
multilabel_sums (void *self)
{
  const struct multilabel *m = self;

  return (size_t) (m->labels * (2 * STEPS + PARTS) + TOTALS);
}

static int
multilabel_update (void *self, const struct qk_metric_io *io, double *sums)
{
  const struct multilabel *m = self;
  int64_t labels;
  const int64_t rows = pairs_rows (io->out, &labels);
  double *total = sums + labels * 2 * STEPS, *part = total + TOTALS;
  const float *z = io->out->data, *t = io->ref->data;

  for (int64_t i = 0; i < rows; i++, z += labels, t += labels) {
    bool exact = true;

    for (int64_t c = 0; c < labels; c++) {
      const double score = 1 / (1 + exp (-(double) z[c])) * STEPS;
      const int step = score >= STEPS - 1 ? STEPS - 1 : (int) score;
      const bool there = t[c] >= 0.5f, answer = (double) z[c] >= m->least;

      sums[(2 * c + there) * STEPS + step]++;
      part[c * PARTS + FOUND] += there && answer;
      part[c * PARTS + ANSWERED] += answer;
      part[c * PARTS + THERE] += there;
      total[FOUND] += there && answer;
      total[ANSWERED] += answer;
      total[THERE] += there;
      exact = exact && there == answer;
    }
    total[EXACT] += exact;
    total[SAMPLES]++;
  }
  return 0;
}

/* Of one label; NaN where it never occurs. */
static double
average_precision (const double *negative, const double *positive)
{
  double there = 0, found = 0, answered = 0, sum = 0;

  for (int s = 0; s < STEPS; s++)
    there += positive[s];
  for (int s = STEPS - 1; s >= 0; s--) {
    found += positive[s];
    answered += positive[s] + negative[s];
    if (positive[s] > 0)
      sum += positive[s] / there * (found / answered);
  }
  return there > 0 ? sum : (double) NAN;
}

static void
multilabel_result (void *self, const double *sums, int64_t n, double *score)
{
  const int64_t labels = ((const struct multilabel *) self)->labels;
  const double *total = sums + labels * 2 * STEPS;
  double sum = 0;
  int64_t present = 0;

  (void) n;
  for (int64_t c = 0; c < labels; c++) {
    const double ap
      = average_precision (sums + 2 * c * STEPS, sums + (2 * c + 1) * STEPS);

    if (isnan (ap))
      continue;
    sum += ap;
    present++;
  }
  score[0] = sum / (double) present; /* NaN if there is none */
  score[1] = 2 * total[FOUND] / (total[ANSWERED] + total[THERE]);
  score[2] = total[FOUND] / total[ANSWERED];
  score[3] = total[FOUND] / total[THERE];
  score[4] = total[EXACT] / total[SAMPLES];
}

/* ---- the table ------------------------------------------------------------ */

enum { COUNT, AP, PRECISION, RECALL, F1, BEST_AT, BEST_F1, COLUMNS };

static int64_t
multilabel_rows (void *self)
{
  return ((const struct multilabel *) self)->labels;
}

static const struct qk_score_spec *
multilabel_columns (void *self, int *n)
{
  static const struct qk_score_spec columns[COLUMNS] = {
    { "count", "count", true, false, 0 },
    { "ap", "AP", true, true, 2 },
    { "precision", "precision", true, true, 2 },
    { "recall", "recall", true, true, 2 },
    { "f1", "F1", true, true, 2 },
    { "best_threshold", "best threshold", true, false, 4 },
    { "best_f1", "best F1", true, true, 2 },
  };

  (void) self;
  *n = COLUMNS;
  return columns;
}

/* The threshold of largest F1 of one label, the highest of several; NaN where
 * it never occurs. */
static void
best_threshold (const double *negative, const double *positive, double *at,
                double *f1)
{
  double there = 0, found = 0, answered = 0;

  *at = *f1 = (double) NAN;
  for (int s = 0; s < STEPS; s++)
    there += positive[s];
  for (int s = STEPS - 1; there > 0 && s >= 0; s--) {
    double f;

    found += positive[s];
    answered += positive[s] + negative[s];
    f = 2 * found / (answered + there);
    if (positive[s] > 0 && !(f <= *f1)) {
      *f1 = f;
      *at = (double) s / STEPS;
    }
  }
}

static void
multilabel_row (void *self, const double *sums, int64_t row, double *cell)
{
  const struct multilabel *m = self;
  const double *negative = sums + 2 * row * STEPS;
  const double *positive = negative + STEPS;
  const double *part = sums + m->labels * 2 * STEPS + TOTALS + row * PARTS;

  cell[COUNT] = part[THERE];
  cell[AP] = average_precision (negative, positive);
  cell[PRECISION] = part[FOUND] / part[ANSWERED]; /* NaN of none */
  cell[RECALL] = part[FOUND] / part[THERE];
  cell[F1] = 2 * part[FOUND] / (part[ANSWERED] + part[THERE]);
  best_threshold (negative, positive, &cell[BEST_AT], &cell[BEST_F1]);
}

static const struct qk_metric_table table
  = { multilabel_rows, multilabel_columns, multilabel_row, NULL };

static const struct qk_option options[]
  = { { .name = "threshold",
        .type = QK_OPT_FLOAT,
        .def = "0.5",
        .min = 1e-6,
        .max = 0.999999,
        .help = "Probability from which on a label is answered" },
      { .name = NULL } };

static const struct qk_metric_class multilabel = {
  .cls = QK_CLASS (struct qk_metric_class, QK_KIND_METRIC, "multilabel",
                   "Mean average precision and F1 of samples with several "
                   "labels",
                   options),
  .create = multilabel_create,
  .destroy = multilabel_destroy,
  .check = multilabel_check,
  .scores = multilabel_scores,
  .sums = multilabel_sums,
  .update = multilabel_update,
  .result = multilabel_result,
  .table = &table,
};

QK_PLUGIN ("multilabel", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &multilabel.cls);
