/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* accuracy: share of samples whose label is among the one, or the five,
 * classes of largest logit.  Of equal logits the class of lower number comes
 * first; ties1 and ties5 count the samples in which that decided.
 *
 * z f32 (N,C), label i32 (N); samples of label -1 do not count.  With fewer than 6 classes top-5 counts every
 * sample. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/metric.h>

#include "pairs/pairs.h"

enum { TOP1, TOP5, TIES1, TIES5, SCORES, SAMPLES = SCORES, SUMS };

static int
accuracy_check (void *self, const struct qk_tensor_spec *out, int n_out,
                const struct qk_tensor_spec *ref, int n_ref)
{
  char text[160];
  const int r = pairs_check_categories ("accuracy", out, n_out, ref, n_ref);

  (void) self;
  if (r < 0)
    return r;
  return out->shape.ndim == 2
           ? 0
           : qk_error (-EINVAL, "accuracy: output %s, expected (N,C)",
                       qk_spec_print (out, text, sizeof text));
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
  (void) self;
  return SUMS;
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
  int64_t classes;
  const int64_t n = pairs_rows (io->out, &classes);
  const int k = classes < 6 ? (int) classes : 6;
  const float *z = io->out->data;
  const int32_t *label = io->ref->data;

  (void) self;
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

static const struct qk_metric_class accuracy = {
  .cls = QK_CLASS_DEFAULT (struct qk_metric_class, QK_KIND_METRIC, "accuracy",
                           "Share of samples whose label is among the best "
                           "one, and the best five, classes",
                           NULL, 30, 0, ""),
  .check = accuracy_check,
  .scores = accuracy_scores,
  .sums = accuracy_sums,
  .update = accuracy_update,
  .result = accuracy_result,
  .answer = accuracy_answer,
};

QK_PLUGIN ("accuracy", PACKAGE_VERSION, "LGPL-2.1-or-later", &accuracy.cls);
