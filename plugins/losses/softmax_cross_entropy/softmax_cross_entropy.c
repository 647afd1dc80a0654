/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* softmax_cross_entropy: how far logits are from the labels.
 *
 * z f32 (N,…,C), label i32 (N,…): the mean over rows, those of label -1 left
 * out, of
 *   sum_c t_c (lse (z) - z_c),   lse (z) = log sum_c exp z_c,
 *   t_c = (1 - s) [c = label] + s / C,   s = label_smoothing
 * dz_c = (exp (z_c - lse) - t_c) / rows * scale
 * Label smoothing: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567 */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/loss.h>

#include "pairs/pairs.h"

struct cross_entropy {
  double smoothing;
};

static int
softmax_cross_entropy_create (const struct qk_config *cfg, void **self)
{
  struct cross_entropy *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("softmax_cross_entropy");
  l->smoothing = qk_config_float (cfg, "label_smoothing");
  *self = l;
  return 0;
}

static void
softmax_cross_entropy_destroy (void *self)
{
  free (self);
}

static int
softmax_cross_entropy_check (void *self, const struct qk_tensor_spec *out,
                             int n_out, const struct qk_tensor_spec *ref,
                             int n_ref)
{
  (void) self;
  return pairs_check_categories ("softmax_cross_entropy", out, n_out, ref,
                                 n_ref);
}

/* lse of every row, double */
static size_t
softmax_cross_entropy_saved (void *self, const struct qk_tensor_spec *out,
                             int n_out, int64_t n)
{
  const struct qk_shape *s = &out->shape;

  (void) self;
  (void) n_out;
  return (size_t) (n * qk_shape_count (s) / s->dims[s->ndim - 1])
         * sizeof (double);
}

/* log sum exp of a row; *SUM receives the sum of the logits. */
static int
log_sum_exp (const float *z, int64_t n, int64_t row, double *lse, double *sum)
{
  float max = z[0];
  double e = 0;

  *sum = 0;
  for (int64_t c = 0; c < n; c++) {
    if (!isfinite (z[c]))
      return qk_error (-EDOM,
                       "softmax_cross_entropy: logit %lld of row %lld is %g",
                       (long long) c, (long long) row, (double) z[c]);
    max = z[c] > max ? z[c] : max;
    *sum += (double) z[c];
  }
  for (int64_t c = 0; c < n; c++)
    e += exp ((double) z[c] - (double) max);
  *lse = (double) max + log (e);
  return 0;
}

/* Rows that count. */
static int64_t
counted (const int32_t *label, int64_t rows)
{
  int64_t n = 0;

  for (int64_t i = 0; i < rows; i++)
    n += label[i] != QK_NO_CATEGORY;
  return n > 0 ? n : 1;
}

static int
softmax_cross_entropy_forward (void *self, const struct qk_loss_io *io,
                               double *loss)
{
  const struct cross_entropy *l = self;
  int64_t classes;
  const int64_t rows = pairs_rows (io->out, &classes);
  const float *z = io->out[0].data;
  const int32_t *label = io->ref[0].data;
  double *saved = io->saved, all = 0;
  const double s = l->smoothing;

  for (int64_t i = 0; i < rows; i++, z += classes) {
    double lse = 0, sum = 0;
    const int err = log_sum_exp (z, classes, i, &lse, &sum);

    if (err < 0)
      return err;
    if (saved != NULL)
      saved[i] = lse;
    if (label[i] == QK_NO_CATEGORY)
      continue;
    if (label[i] < 0 || label[i] >= classes)
      return qk_error (-EINVAL,
                       "softmax_cross_entropy: label of row %lld is %d, must "
                       "be 0..%lld, or -1 where it does not count",
                       (long long) i, label[i], (long long) classes - 1);
    all += (1 - s) * (lse - (double) z[label[i]])
           + s * (lse - sum / (double) classes);
  }
  *loss = all / (double) counted (label, rows);
  return 0;
}

static int
softmax_cross_entropy_backward (void *self, const struct qk_loss_io *io)
{
  const struct cross_entropy *l = self;
  int64_t classes;
  const int64_t rows = pairs_rows (io->out, &classes);
  const float *z = io->out[0].data;
  const int32_t *label = io->ref[0].data;
  const double *lse = io->saved;
  const double k = io->scale / (double) counted (label, rows);
  const double rest = l->smoothing / (double) classes;
  float *dz = io->dout[0].data;

  if (dz == NULL)
    return 0;
#pragma omp parallel for schedule(static)                                     \
  num_threads(io->threads) if (rows * classes > 16384)
  for (int64_t i = 0; i < rows; i++)
    for (int64_t c = 0; c < classes; c++) {
      const double t = (c == label[i] ? 1 - l->smoothing : 0) + rest;
      const int64_t at = i * classes + c;

      dz[at] = label[i] == QK_NO_CATEGORY
                 ? 0.0f
                 : (float) ((exp ((double) z[at] - lse[i]) - t) * k);
    }
  return 0;
}

static const struct qk_option options[]
  = { { .name = "label_smoothing",
        .type = QK_OPT_FLOAT,
        .def = "0",
        .min = 0,
        .max = 0.999,
        .help = "Share of the target spread evenly over all classes." },
      { .name = NULL } };

static const struct qk_loss_class softmax_cross_entropy = {
  .cls = QK_CLASS_DEFAULT (
    struct qk_loss_class, QK_KIND_LOSS, "softmax_cross_entropy",
    "Mean cross-entropy of softmax (logits) and labels, "
    "of a sample or of each of its elements",
    options, 30, 0, ""),
  .create = softmax_cross_entropy_create,
  .destroy = softmax_cross_entropy_destroy,
  .check = softmax_cross_entropy_check,
  .saved = softmax_cross_entropy_saved,
  .forward = softmax_cross_entropy_forward,
  .backward = softmax_cross_entropy_backward,
};

QK_PLUGIN ("softmax_cross_entropy", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &softmax_cross_entropy.cls);
