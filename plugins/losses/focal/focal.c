/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* focal: cross-entropy in which what is already right counts less.
 * Lin et al. 2017, https://arxiv.org/abs/1708.02002
 *
 * z f32 (N,…,C), label i32 (N,…): the mean over rows, those of label -1 left
 * out, of -(1 - p)^gamma log p, p the label's probability by softmax.
 * dz_c = (gamma (1 - p)^(gamma - 1) p log p - (1 - p)^gamma)
 *        * ([c = label] - p_c) / rows * scale */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/loss.h>

#include "pairs/pairs.h"

struct focal {
  double gamma;
};

static int
focal_create (const struct qk_config *cfg, void **self)
{
  struct focal *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("focal");
  l->gamma = qk_config_float (cfg, "gamma");
  *self = l;
  return 0;
}

static void
focal_destroy (void *self)
{
  free (self);
}

static int
focal_check (void *self, const struct qk_tensor_spec *out, int n_out,
             const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self;
  return pairs_check_categories ("focal", out, n_out, ref, n_ref);
}

/* lse of every row, double */
static size_t
focal_saved (void *self, const struct qk_tensor_spec *out, int n_out,
             int64_t n)
{
  const struct qk_shape *s = &out->shape;

  (void) self;
  (void) n_out;
  return (size_t) (n * qk_shape_count (s) / s->dims[s->ndim - 1])
         * sizeof (double);
}

/* log sum exp of the N logits of a row. */
static double
log_sum_exp (const float *z, int64_t n)
{
  double max = (double) z[0], sum = 0;

  for (int64_t c = 1; c < n; c++)
    max = (double) z[c] > max ? (double) z[c] : max;
  for (int64_t c = 0; c < n; c++)
    sum += exp ((double) z[c] - max);
  return max + log (sum);
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
focal_forward (void *self, const struct qk_loss_io *io, double *loss)
{
  const double gamma = ((const struct focal *) self)->gamma;
  int64_t classes;
  const int64_t rows = pairs_rows (io->out, &classes);
  const float *z = io->out[0].data;
  const int32_t *label = io->ref[0].data;
  double *saved = io->saved, all = 0;

  for (int64_t i = 0; i < rows; i++, z += classes) {
    const double lse = log_sum_exp (z, classes);
    double log_p;

    if (!isfinite (lse))
      return qk_error (-EDOM, "focal: the logits of row %lld are not finite",
                       (long long) i);
    if (saved != NULL)
      saved[i] = lse;
    if (label[i] == QK_NO_CATEGORY)
      continue;
    if (label[i] < 0 || label[i] >= classes)
      return qk_error (-EINVAL,
                       "focal: label of row %lld is %d, must be 0..%lld, or "
                       "-1 where it does not count",
                       (long long) i, label[i], (long long) classes - 1);
    log_p = (double) z[label[i]] - lse;
    all -= pow (-expm1 (log_p), gamma) * log_p;
  }
  *loss = all / (double) counted (label, rows);
  return 0;
}

/* d loss / d p times p, of the row whose label has log probability LOG_P. */
static double
slope (double gamma, double log_p)
{
  const double p = exp (log_p), rest = -expm1 (log_p); /* 1 - p */

  if (rest == 0) /* its limit: log p / (1 - p) is -1 */
    return gamma > 0 ? 0 : -1;
  return pow (rest, gamma) * (gamma * p * log_p / rest - 1);
}

static int
focal_backward (void *self, const struct qk_loss_io *io)
{
  const double gamma = ((const struct focal *) self)->gamma;
  int64_t classes;
  const int64_t rows = pairs_rows (io->out, &classes);
  const float *z = io->out[0].data;
  const int32_t *label = io->ref[0].data;
  const double *lse = io->saved;
  const double k = io->scale / (double) counted (label, rows);
  float *dz = io->dout[0].data;

  if (dz == NULL)
    return 0;
#pragma omp parallel for schedule(static)                                     \
  num_threads(io->threads) if (rows * classes > 16384)
  for (int64_t i = 0; i < rows; i++) {
    const float *zi = z + i * classes;
    const bool counts = label[i] != QK_NO_CATEGORY;
    const double g
      = counts ? k * slope (gamma, (double) zi[label[i]] - lse[i]) : 0;

    for (int64_t c = 0; c < classes; c++) {
      const double p = exp ((double) zi[c] - lse[i]);

      dz[i * classes + c]
        = counts ? (float) (g * ((c == label[i] ? 1 : 0) - p)) : 0.0f;
    }
  }
  return 0;
}

static const struct qk_option options[]
  = { { .name = "gamma",
        .type = QK_OPT_FLOAT,
        .def = "2",
        .min = 0,
        .max = 100,
        .help = "How much less what is right counts; 0 = cross-entropy" },
      { .name = NULL } };

static const struct qk_loss_class focal = {
  .cls = QK_CLASS (struct qk_loss_class, QK_KIND_LOSS, "focal",
                   "Cross-entropy in which what is already right counts less",
                   options),
  .create = focal_create,
  .destroy = focal_destroy,
  .check = focal_check,
  .saved = focal_saved,
  .forward = focal_forward,
  .backward = focal_backward,
};

QK_PLUGIN ("focal", PACKAGE_VERSION, "LGPL-2.1-or-later", &focal.cls);
