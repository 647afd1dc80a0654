/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ece: whether probabilities are what they say: expected calibration
 * error, the mean over 15 equal intervals of the largest probability, weighted
 * by how many samples fall into each, of |accuracy - probability|, and the
 * mean negative log-likelihood.
 * Guo et al. 2017, https://arxiv.org/abs/1706.04599
 *
 * z f32 (N,…,C), label i32 (N,…), -1 where it does not count; p = softmax (z).
 * Sums, per interval: count, right answers, probabilities; then the
 * likelihoods. */
#include "config.h"

#include <math.h>

#include <qatkit/metric.h>

#include "pairs/pairs.h"

#define BINS 15

enum { COUNT = 0, RIGHT = BINS, SURE = 2 * BINS, NLL = 3 * BINS, SUMS };

static int
ece_check (void *self, const struct qk_tensor_spec *out, int n_out,
           const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self;
  return pairs_check_categories ("ece", out, n_out, ref, n_ref);
}

static const struct qk_score_spec *
ece_scores (void *self, int *n)
{
  static const struct qk_score_spec scores[] = {
    { "ece", "ECE", false, true, 2 },
    { "nll", "NLL", false, false, 4 },
  };

  (void) self;
  *n = 2;
  return scores;
}

static size_t
ece_sums (void *self)
{
  (void) self;
  return SUMS;
}

static int
ece_update (void *self, const struct qk_metric_io *io, double *sums)
{
  int64_t classes;
  const int64_t rows = pairs_rows (io->out, &classes);
  const float *z = io->out->data;
  const int32_t *label = io->ref->data;

  (void) self;
  for (int64_t i = 0; i < rows; i++, z += classes) {
    int64_t best = 0;
    double sum = 0, p;
    int bin;

    if (label[i] == QK_NO_CATEGORY)
      continue;
    if (label[i] < 0 || label[i] >= classes)
      return qk_error (-EINVAL, "ece: a label is %d, expected 0 to %lld",
                       (int) label[i], (long long) classes - 1);
    for (int64_t c = 1; c < classes; c++)
      best = z[c] > z[best] ? c : best;
    for (int64_t c = 0; c < classes; c++)
      sum += exp ((double) z[c] - (double) z[best]);
    p = 1 / sum;
    /* intervals are open on the left, as the paper has them */
    bin = (int) ceil (p * BINS) - 1;
    bin = bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin;
    sums[COUNT + bin]++;
    sums[RIGHT + bin] += best == label[i];
    sums[SURE + bin] += p;
    sums[NLL] += log (sum) - ((double) z[label[i]] - (double) z[best]);
  }
  return 0;
}

static void
ece_result (void *self, const double *sums, int64_t n, double *score)
{
  double all = 0, error = 0;

  (void) self;
  (void) n;
  for (int b = 0; b < BINS; b++) {
    all += sums[COUNT + b];
    error += fabs (sums[RIGHT + b] - sums[SURE + b]);
  }
  score[0] = error / all; /* NaN if none counts */
  score[1] = sums[NLL] / all;
}

static const struct qk_metric_class ece = {
  .cls = QK_CLASS (struct qk_metric_class, QK_KIND_METRIC, "ece",
                   "Expected calibration error and likelihood of the "
                   "probabilities by softmax",
                   NULL),
  .check = ece_check,
  .scores = ece_scores,
  .sums = ece_sums,
  .update = ece_update,
  .result = ece_result,
};

QK_PLUGIN ("ece", PACKAGE_VERSION, "LGPL-2.1-or-later", &ece.cls);
