/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* auc: how well a number tells positive samples from the others, as the area
 * under the curve of the true positives' share over the false ones': the
 * probability that a positive sample has a larger score than another one,
 * plus half of that of an equal score (Hanley and McNeil 1982).
 *
 * The score of a sample is
 * - of an output (N,1) or (N) its number, of (N,2) the second less the first,
 *   and a label says which samples are positive;
 * - of an output that the first reference (the network's input, of an
 *   autoencoder) has the shape of, the mean of (y - x)^2, which is given too;
 *   the second reference, if any, is the label.
 *
 * Sums over samples are all that is kept, so scores are counted in classes:
 * those that agree in sign, exponent and the first seven digits behind it, and
 * so differ by less than 0.8 %, are taken for equal. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/metric.h>

#define BINS 65536 /* of scores, least first */
#define POSITIVES 0
#define OTHERS BINS
#define ERROR (2 * BINS) /* sum of the means */
#define SUMS (2 * BINS + 1)

struct auc {
  int64_t positive;
  /* set by check */
  bool rebuilt, labelled;
  int64_t categories; /* of the label */
};

static const struct qk_option options[]
  = { { "positive", QK_OPT_INT, "-1", -1, 1e6, NULL,
        "Category of the positive samples; -1 = all but the first" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
auc_create (const struct qk_config *cfg, void **self)
{
  struct auc *a = calloc (1, sizeof *a);

  if (a == NULL)
    return qk_oom ("auc");
  a->positive = qk_config_int (cfg, "positive");
  *self = a;
  return 0;
}

static void
auc_destroy (void *self)
{
  free (self);
}

/* Numbers of a sample. */
static int64_t
per_sample (const struct qk_shape *s)
{
  int64_t n = 1;

  for (int i = 1; i < s->ndim; i++)
    n *= s->dims[i];
  return n;
}

static int
check_label (struct auc *a, const struct qk_tensor_spec *ref, int64_t several)
{
  char text[120];

  a->categories = ref->categories > 0 ? ref->categories : several;
  if (ref->dtype == QK_I32 && per_sample (&ref->shape) == 1)
    return 0;
  return qk_error (-EINVAL,
                   "auc: reference %s, expected a label (i32) for each sample",
                   qk_spec_print (ref, text, sizeof text));
}

static int
auc_check (void *self, const struct qk_tensor_spec *out, int n_out,
           const struct qk_tensor_spec *ref, int n_ref)
{
  struct auc *a = self;
  char text[120], other[120];

  if (n_out != 1 || n_ref < 1 || n_ref > 2)
    return qk_error (-EINVAL,
                     "auc: %d outputs and %d references, expected one output "
                     "and its label, or one, what it rebuilds, and perhaps a "
                     "label",
                     n_out, n_ref);
  a->rebuilt = ref[0].dtype == QK_F32;
  a->labelled = !a->rebuilt || n_ref == 2;
  if (!a->rebuilt) {
    if (n_ref != 1 || per_sample (&out->shape) > 2)
      return qk_error (
        -EINVAL,
        "auc: output %s with %d references, expected one or two "
        "numbers a sample and a label",
        qk_spec_print (out, text, sizeof text), n_ref);
    return check_label (a, ref, 2);
  }
  if (!qk_shape_equal (&out->shape, &ref->shape))
    return qk_error (
      -EINVAL, "auc: output %s and reference %s, expected the same shape",
      qk_spec_print (out, text, sizeof text),
      qk_spec_print (ref, other, sizeof other));
  return n_ref == 2 ? check_label (a, &ref[1], INT32_MAX) : 0;
}

static const struct qk_score_spec *
auc_scores (void *self, int *n)
{
  static const struct qk_score_spec scores[]
    = { { "auc", "AUC", true, false, 4 },
        { "error", "error", false, false, 6 } };
  const struct auc *a = self;

  *n = a->rebuilt && a->labelled ? 2 : 1;
  return a->labelled ? scores : scores + 1;
}

static size_t
auc_sums (void *self)
{
  (void) self;
  return SUMS;
}

/* The place of X among all numbers, least first. */
static uint32_t
bin_of (float x)
{
  uint32_t bits;

  x += 0.0f; /* -0 is 0 */
  memcpy (&bits, &x, sizeof bits);
  bits = bits >> 31 ? ~bits : bits | UINT32_C (1) << 31;
  return bits >> 16;
}

static double
error_of (const float *y, const float *x, int64_t n)
{
  double sum = 0;

  for (int64_t i = 0; i < n; i++) {
    const double d = (double) y[i] - (double) x[i];

    sum += d * d;
  }
  return sum / (double) n;
}

static int
auc_update (void *self, const struct qk_metric_io *io, double *sums)
{
  const struct auc *a = self;
  const int64_t per = per_sample (&io->out->shape);
  const int32_t *label = a->labelled ? io->ref[io->n_ref - 1].data : NULL;

  for (int64_t i = 0; i < io->out->shape.dims[0]; i++) {
    const float *y = (const float *) io->out->data + i * per;
    double score = per == 2 ? (double) y[1] - (double) y[0] : (double) y[0];

    if (a->rebuilt) {
      score = error_of (y, (const float *) io->ref->data + i * per, per);
      sums[ERROR] += score;
    }
    if (isnan (score))
      return qk_error (-EDOM, "auc: the score of a sample is not a number");
    if (label == NULL || label[i] == QK_NO_CATEGORY)
      continue;
    if (label[i] < 0 || label[i] >= a->categories)
      return qk_error (-EINVAL, "auc: a label is %d, expected 0 to %lld",
                       label[i], (long long) a->categories - 1);
    sums[((a->positive < 0 ? label[i] != 0 : label[i] == a->positive)
            ? POSITIVES
            : OTHERS)
         + (int) bin_of ((float) score)]++;
  }
  return 0;
}

static void
auc_result (void *self, const double *sums, int64_t n, double *score)
{
  const struct auc *a = self;
  double below = 0, right = 0, positives = 0;

  for (int i = 0; a->labelled && i < BINS; i++) {
    right += sums[POSITIVES + i] * (below + sums[OTHERS + i] / 2);
    below += sums[OTHERS + i];
    positives += sums[POSITIVES + i];
  }
  if (a->labelled)
    *score++ = positives > 0 && below > 0 ? right / (positives * below)
                                          : (double) NAN;
  if (a->rebuilt)
    *score = sums[ERROR] / (double) n;
}

static const struct qk_metric_class auc = {
  .cls
  = QK_CLASS (struct qk_metric_class, QK_KIND_METRIC, "auc",
              "Area under the ROC curve, of scores or of the errors of an "
              "autoencoder",
              options),
  .create = auc_create,
  .destroy = auc_destroy,
  .check = auc_check,
  .scores = auc_scores,
  .sums = auc_sums,
  .update = auc_update,
  .result = auc_result,
};

QK_PLUGIN ("auc", PACKAGE_VERSION, "LGPL-2.1-or-later", &auc.cls);
