/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* accuracy: share of samples whose label is among the one, or the five,
 * classes of largest logit.  Of equal logits the class of lower number comes
 * first; ties1 and ties5 count the samples in which that decided.
 *
 * z f32 (N,C), label i32 (N); samples of label -1 do not count.  With fewer
 * than 6 classes top-5 counts every sample.
 *
 * Its table has precision, recall and F1 of each class and, up to the number
 * of classes that the option confusion says, the confusion matrix. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/metric.h>

#include "confusion/confusion.h"
#include "pairs/pairs.h"

enum { TOP1, TOP5, TIES1, TIES5, SCORES, SAMPLES = SCORES, SUMS };

#define COLUMNS 4 /* without intersection over union */

struct accuracy {
  int64_t most; /* classes of a confusion matrix */
  struct confusion confusion;
};

static int
accuracy_create (const struct qk_config *cfg, void **self)
{
  struct accuracy *m = calloc (1, sizeof *m);

  if (m == NULL)
    return qk_oom ("accuracy");
  m->most = qk_config_int (cfg, "confusion");
  *self = m;
  return 0;
}

static void
accuracy_destroy (void *self)
{
  free (self);
}

static int
accuracy_check (void *self, const struct qk_tensor_spec *out, int n_out,
                const struct qk_tensor_spec *ref, int n_ref)
{
  struct accuracy *m = self;
  char text[160];
  const int r = pairs_check_categories ("accuracy", out, n_out, ref, n_ref);

  if (r < 0)
    return r;
  if (out->shape.ndim != 2)
    return qk_error (-EINVAL, "accuracy: output %s, expected (N,C)",
                     qk_spec_print (out, text, sizeof text));
  m->confusion.n = out->shape.dims[1];
  m->confusion.matrix = m->confusion.n <= m->most;
  return 0;
}

static const struct qk_score_spec *
accuracy_scores (void *self, int *n)
{
  static const struct qk_score_spec scores[] = {
    { "top1", "top-1", true, true, 2 },
    { "top5", "top-5", true, true, 2 },
    { "ties1", NULL, false, false, 0 },
    { "ties5", NULL, false, false, 0 },
  };

  (void) self;
  *n = SCORES;
  return scores;
}

static size_t
accuracy_sums (void *self)
{
  const struct accuracy *m = self;

  return SUMS + confusion_sums (&m->confusion);
}

/* Place of class LABEL among N logits, 0 = best. */
static int64_t
place_of (const float *z, int64_t n, int64_t label)
{
  int64_t place = 0;

  for (int64_t c = 0; c < n; c++)
    place += z[c] > z[label] || (z[c] == z[label] && c < label);
  return place;
}

/* The K classes of largest logit, best first, into BEST. */
static void
best_of (const float *z, int64_t n, int k, int64_t *best)
{
  int filled = 0;

  for (int64_t c = 0; c < n; c++) {
    int j;

    if (filled == k && !(z[c] > z[best[k - 1]]))
      continue;
    j = filled < k ? filled++ : k - 1;
    for (; j > 0 && z[c] > z[best[j - 1]]; j--)
      best[j] = best[j - 1];
    best[j] = c;
  }
}

static int
accuracy_update (void *self, const struct qk_metric_io *io, double *sums)
{
  const struct accuracy *m = self;
  int64_t classes;
  const int64_t n = pairs_rows (io->out, &classes);
  const int k = classes < 6 ? (int) classes : 6;
  const float *z = io->out->data;
  const int32_t *label = io->ref->data;

  for (int64_t i = 0; i < n; i++, z += classes) {
    int64_t place, best[6] = { 0 };

    if (label[i] == QK_NO_CATEGORY)
      continue;
    if (label[i] < 0 || label[i] >= classes)
      return qk_error (-EINVAL,
                       "accuracy: label of a sample is %d, expected 0 to %lld",
                       (int) label[i], (long long) classes - 1);
    place = place_of (z, classes, label[i]);
    best_of (z, classes, k, best);
    sums[SAMPLES]++;
    sums[TOP1] += place < 1;
    sums[TOP5] += place < 5;
    sums[TIES1] += k > 1 && z[best[0]] == z[best[1]];
    sums[TIES5] += k > 5 && z[best[4]] == z[best[5]];
    confusion_add (&m->confusion, sums + SUMS, label[i], best[0]);
  }
  return 0;
}

static void
accuracy_result (void *self, const double *sums, int64_t n, double *score)
{
  (void) self;
  (void) n;
  score[TOP1] = sums[TOP1] / sums[SAMPLES]; /* NaN if none counts */
  score[TOP5] = sums[TOP5] / sums[SAMPLES];
  score[TIES1] = sums[TIES1];
  score[TIES5] = sums[TIES5];
}

/* The classes of largest logit with their probability by softmax. */
static int
accuracy_answer (void *self, const struct qk_tensor *out,
                 const struct qk_tensor_spec *ref, int most, qk_answer_fn fn,
                 void *cookie)
{
  const int64_t n = qk_shape_count (&out->shape);
  const int k = most < n ? most : (int) n;
  const float *z = out->data;
  int64_t *best = calloc ((size_t) k + 1, sizeof *best);
  double sum = 0;
  int r = 0;

  (void) self;
  if (best == NULL)
    return qk_oom ("accuracy");
  best_of (z, n, k, best);
  for (int64_t c = 0; c < n; c++)
    sum += exp ((double) z[c] - (double) z[best[0]]);
  for (int i = 0; r == 0 && i < k; i++) {
    const bool named = ref->category != NULL && best[i] < ref->categories;

    r = fn (cookie, named ? ref->category[best[i]] : "?",
            exp ((double) z[best[i]] - (double) z[best[0]]) / sum);
  }
  free (best);
  return r;
}

/* ---- the table ------------------------------------------------------------ */

static int64_t
accuracy_rows (void *self)
{
  return ((const struct accuracy *) self)->confusion.n;
}

static const struct qk_score_spec *
accuracy_columns (void *self, int *n)
{
  (void) self;
  *n = COLUMNS;
  return confusion_column;
}

static void
accuracy_row (void *self, const double *sums, int64_t row, double *cell)
{
  const struct accuracy *m = self;

  confusion_row (&m->confusion, sums + SUMS, row, COLUMNS, cell);
}

static double
accuracy_taken (void *self, const double *sums, int64_t row, int64_t other)
{
  const struct accuracy *m = self;

  return m->confusion.matrix ? sums[SUMS + row * m->confusion.n + other]
                             : (double) NAN;
}

static const struct qk_metric_table table
  = { accuracy_rows, accuracy_columns, accuracy_row, accuracy_taken };

static const struct qk_option options[]
  = { { .name = "confusion",
        .type = QK_OPT_INT,
        .def = "100",
        .max = 4096,
        .help = "Most classes of which the confusion matrix is counted, 8 "
                "bytes for each pair" },
      { .name = NULL } };

static const struct qk_metric_class accuracy = {
  .cls = QK_CLASS_DEFAULT (struct qk_metric_class, QK_KIND_METRIC, "accuracy",
                           "Share of samples whose label is among the best "
                           "one, and the best five, classes",
                           options, 30, 0, ""),
  .create = accuracy_create,
  .destroy = accuracy_destroy,
  .check = accuracy_check,
  .scores = accuracy_scores,
  .sums = accuracy_sums,
  .update = accuracy_update,
  .result = accuracy_result,
  .answer = accuracy_answer,
  .table = &table,
};

QK_PLUGIN ("accuracy", PACKAGE_VERSION, "LGPL-2.1-or-later", &accuracy.cls);
