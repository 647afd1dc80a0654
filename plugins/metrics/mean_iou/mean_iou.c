/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mean_iou: how well the elements of samples are told apart, as in
 * segmentation: intersection over union, its mean over the classes that occur
 * in targets or answers, and the share of elements that are right.
 *
 * z f32 (N,…,C), label i32 (N,…), -1 where it does not count; the answer of
 * an element is its first largest logit.  Sums: the confusion matrix, (label,
 * answer). */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/metric.h>

#include "confusion/confusion.h"
#include "pairs/pairs.h"

#define MOST_CLASSES 4096 /* 128 MB of sums */

struct mean_iou {
  struct confusion confusion;
};

static int
mean_iou_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  *self = calloc (1, sizeof (struct mean_iou));
  return *self == NULL ? qk_oom ("mean_iou") : 0;
}

static void
mean_iou_destroy (void *self)
{
  free (self);
}

static int
mean_iou_check (void *self, const struct qk_tensor_spec *out, int n_out,
                const struct qk_tensor_spec *ref, int n_ref)
{
  struct mean_iou *m = self;
  const int r = pairs_check_categories ("mean_iou", out, n_out, ref, n_ref);

  if (r < 0)
    return r;
  m->confusion.n = out->shape.dims[out->shape.ndim - 1];
  m->confusion.matrix = true;
  return m->confusion.n <= MOST_CLASSES
           ? 0
           : qk_error (-EINVAL, "mean_iou: %lld classes, at most %d",
                       (long long) m->confusion.n, MOST_CLASSES);
}

static const struct qk_score_spec *
mean_iou_scores (void *self, int *n)
{
  static const struct qk_score_spec scores[] = {
    { "miou", "mIoU", true, true, 2 },
    { "element_accuracy", "elements", true, true, 2 },
  };

  (void) self;
  *n = 2;
  return scores;
}

static size_t
mean_iou_sums (void *self)
{
  const struct mean_iou *m = self;

  return confusion_sums (&m->confusion);
}

static int
mean_iou_update (void *self, const struct qk_metric_io *io, double *sums)
{
  const struct mean_iou *m = self;
  int64_t classes;
  const int64_t rows = pairs_rows (io->out, &classes);
  const float *z = io->out->data;
  const int32_t *label = io->ref->data;

  for (int64_t i = 0; i < rows; i++, z += classes) {
    int64_t best = 0;

    if (label[i] == QK_NO_CATEGORY)
      continue;
    if (label[i] < 0 || label[i] >= classes)
      return qk_error (-EINVAL,
                       "mean_iou: label of an element is %d, expected 0 to "
                       "%lld",
                       (int) label[i], (long long) classes - 1);
    for (int64_t c = 1; c < classes; c++)
      best = z[c] > z[best] ? c : best;
    confusion_add (&m->confusion, sums, label[i], best);
  }
  return 0;
}

static void
mean_iou_result (void *self, const double *sums, int64_t n, double *score)
{
  const struct mean_iou *m = self;
  double iou = 0, right = 0, all = 0;
  int64_t present = 0;

  (void) n;
  for (int64_t c = 0; c < m->confusion.n; c++) {
    const struct confusion_counts k = confusion_of (&m->confusion, sums, c);

    right += k.both;
    all += k.meant;
    if (k.meant + k.answered == 0)
      continue;
    present++;
    iou += k.both / (k.meant + k.answered - k.both);
  }
  score[0] = present > 0 ? iou / (double) present : (double) NAN;
  score[1] = all > 0 ? right / all : (double) NAN;
}

/* ---- the table ------------------------------------------------------------ */

static int64_t
mean_iou_rows (void *self)
{
  return ((const struct mean_iou *) self)->confusion.n;
}

static const struct qk_score_spec *
mean_iou_columns (void *self, int *n)
{
  (void) self;
  *n = CONFUSION_COLUMNS;
  return confusion_column;
}

static void
mean_iou_row (void *self, const double *sums, int64_t row, double *cell)
{
  const struct mean_iou *m = self;

  confusion_row (&m->confusion, sums, row, CONFUSION_COLUMNS, cell);
}

static double
mean_iou_taken (void *self, const double *sums, int64_t row, int64_t other)
{
  return sums[row * ((const struct mean_iou *) self)->confusion.n + other];
}

static const struct qk_metric_table table
  = { mean_iou_rows, mean_iou_columns, mean_iou_row, mean_iou_taken };

static const struct qk_metric_class mean_iou = {
  .cls = QK_CLASS_DEFAULT (struct qk_metric_class, QK_KIND_METRIC, "mean_iou",
                           "Mean intersection over union of dense labels, and "
                           "the share of elements that are right",
                           NULL, 20, 0, ""),
  .create = mean_iou_create,
  .destroy = mean_iou_destroy,
  .check = mean_iou_check,
  .scores = mean_iou_scores,
  .sums = mean_iou_sums,
  .update = mean_iou_update,
  .result = mean_iou_result,
  .table = &table,
};

QK_PLUGIN ("mean_iou", PACKAGE_VERSION, "LGPL-2.1-or-later", &mean_iou.cls);
