/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* agreement: share of answers that are those of the float network.
 *
 * z, t f32 (N,…,C): of all rows of C numbers in all outputs, those whose
 * first largest number stands at the same place */
#include "config.h"

#include <qatkit/metric.h>

#include "pairs/pairs.h"

static int
agreement_check (void *self, const struct qk_tensor_spec *out, int n_out,
                 const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self;
  return pairs_check_equal ("agreement", out, n_out, ref, n_ref);
}

static const struct qk_score_spec *
agreement_scores (void *self, int *n)
{
  static const struct qk_score_spec scores[]
    = { { "agreement", "same answer", true, true, 2 } };

  (void) self;
  *n = 1;
  return scores;
}

static size_t
agreement_sums (void *self)
{
  (void) self;
  return 2; /* rows, rows of the same answer */
}

static int64_t
first_largest (const float *x, int64_t n)
{
  int64_t best = 0;

  for (int64_t i = 1; i < n; i++)
    best = x[i] > x[best] ? i : best;
  return best;
}

static int
agreement_update (void *self, const struct qk_metric_io *io, double *sums)
{
  (void) self;
  for (int k = 0; k < io->n_out; k++) {
    int64_t c;
    const int64_t rows = pairs_rows (&io->out[k], &c);
    const float *z = io->out[k].data, *t = io->ref[k].data;

    for (int64_t i = 0; i < rows; i++, z += c, t += c)
      sums[1] += first_largest (z, c) == first_largest (t, c);
    sums[0] += (double) rows;
  }
  return 0;
}

static void
agreement_result (void *self, const double *sums, int64_t n, double *score)
{
  (void) self;
  (void) n;
  score[0] = sums[1] / sums[0];
}

static const struct qk_metric_class agreement = {
  .cls
  = QK_CLASS (struct qk_metric_class, QK_KIND_METRIC, "agreement",
              "Share of answers that are those of the float network", NULL),
  .reference = QK_REFERENCE_TEACHER,
  .check = agreement_check,
  .scores = agreement_scores,
  .sums = agreement_sums,
  .update = agreement_update,
  .result = agreement_result,
};

QK_PLUGIN ("agreement", PACKAGE_VERSION, "LGPL-2.1-or-later", &agreement.cls);
