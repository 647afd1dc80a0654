/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sqnr: signal to quantization noise of the outputs, held against the float
 * network's.
 *
 * z, t f32 of one shape: 10 log10 (sum t^2 / sum (z - t)^2) in dB over all
 * elements of samples and outputs; infinite where nothing differs */
#include "config.h"

#include <math.h>

#include <qatkit/metric.h>

#include "pairs/pairs.h"

static int
sqnr_check (void *self, const struct qk_tensor_spec *out, int n_out,
            const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self;
  return pairs_check_equal ("sqnr", out, n_out, ref, n_ref);
}

static const struct qk_score_spec *
sqnr_scores (void *self, int *n)
{
  static const struct qk_score_spec scores[]
    = { { "sqnr", "SQNR dB", true, false, 2 } };

  (void) self;
  *n = 1;
  return scores;
}

static size_t
sqnr_sums (void *self)
{
  (void) self;
  return 2; /* signal, noise */
}

static int
sqnr_update (void *self, const struct qk_metric_io *io, double *sums)
{
  (void) self;
  for (int k = 0; k < io->n_out; k++) {
    const int64_t n = qk_shape_count (&io->out[k].shape);
    const float *z = io->out[k].data, *t = io->ref[k].data;

    for (int64_t i = 0; i < n; i++) {
      const double d = (double) z[i] - (double) t[i];

      sums[0] += (double) t[i] * (double) t[i];
      sums[1] += d * d;
    }
  }
  return 0;
}

static void
sqnr_result (void *self, const double *sums, int64_t n, double *score)
{
  (void) self;
  (void) n;
  score[0] = sums[1] > 0 ? 10 * log10 (sums[0] / sums[1]) : (double) INFINITY;
}

static const struct qk_metric_class sqnr = {
  .cls = QK_CLASS_DEFAULT (struct qk_metric_class, QK_KIND_METRIC, "sqnr",
                           "Signal to quantization noise against the float "
                           "network",
                           NULL, 5, 0, ""),
  .reference = QK_REFERENCE_TEACHER,
  .check = sqnr_check,
  .scores = sqnr_scores,
  .sums = sqnr_sums,
  .update = sqnr_update,
  .result = sqnr_result,
};

QK_PLUGIN ("sqnr", PACKAGE_VERSION, "LGPL-2.1-or-later", &sqnr.cls);
