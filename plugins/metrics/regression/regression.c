/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* regression: how far numbers are from those they should be.
 *
 * y, t f32 of one shape, e elements over all samples and outputs:
 *   mae = sum |y - t| / e,  rmse = sqrt (sum (y - t)^2 / e),
 *   r2 = 1 - sum (y - t)^2 / sum (t - mean t)^2, the share of the targets'
 *   variance that is explained */
#include "config.h"

#include <math.h>

#include <qatkit/metric.h>

#include "pairs/pairs.h"

enum { ABSOLUTE, SQUARE, TARGET, TARGET_SQUARE, ELEMENTS, SUMS };

static int
regression_check (void *self, const struct qk_tensor_spec *out, int n_out,
                  const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self;
  return pairs_check_equal ("regression", out, n_out, ref, n_ref);
}

static const struct qk_score_spec *
regression_scores (void *self, int *n)
{
  static const struct qk_score_spec scores[] = {
    { "mae", "mae", false, false, 4 },
    { "rmse", "rmse", false, false, 4 },
    { "r2", "r2", true, false, 4 },
  };

  (void) self;
  *n = 3;
  return scores;
}

static size_t
regression_sums (void *self)
{
  (void) self;
  return SUMS;
}

static int
regression_update (void *self, const struct qk_metric_io *io, double *sums)
{
  (void) self;
  for (int k = 0; k < io->n_out; k++) {
    const int64_t n = qk_shape_count (&io->out[k].shape);
    const float *y = io->out[k].data, *t = io->ref[k].data;

    for (int64_t i = 0; i < n; i++) {
      const double d = (double) y[i] - (double) t[i];

      sums[ABSOLUTE] += fabs (d);
      sums[SQUARE] += d * d;
      sums[TARGET] += (double) t[i];
      sums[TARGET_SQUARE] += (double) t[i] * (double) t[i];
    }
    sums[ELEMENTS] += (double) n;
  }
  return 0;
}

static void
regression_result (void *self, const double *sums, int64_t n, double *score)
{
  const double e = sums[ELEMENTS];
  const double spread = sums[TARGET_SQUARE] - sums[TARGET] * sums[TARGET] / e;

  (void) self;
  (void) n;
  score[0] = sums[ABSOLUTE] / e;
  score[1] = sqrt (sums[SQUARE] / e);
  score[2] = spread > 0 ? 1 - sums[SQUARE] / spread : (double) NAN;
}

static const struct qk_metric_class regression = {
  .cls
  = QK_CLASS_DEFAULT (struct qk_metric_class, QK_KIND_METRIC, "regression",
                      "Mean absolute and root mean squared error, and the "
                      "share of the variance that is explained",
                      NULL, 20, 0, ""),
  .check = regression_check,
  .scores = regression_scores,
  .sums = regression_sums,
  .update = regression_update,
  .result = regression_result,
};

QK_PLUGIN ("regression", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &regression.cls);
