/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* softmax_cross_entropy: how far logits are from the labels.
 *
 * z f32 (N,…,C), label i32 (N,…): the mean over rows, those of label -1 left
 * out, of
 *   sum_c t_c (lse (z) - z_c),   lse (z) = log sum_c exp z_c,
 *   t_c = (1 - s) [c = label] + s / C,   s = label_smoothing
 * dz_c = (exp (z_c - lse) - t_c) / rows * scale
 * With class_weights w: sum_c w_c t_c (lse (z) - z_c), divided by the sum of
 * the labels' weights instead of the rows, as PyTorch's.
 * Label smoothing: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567 */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/loss.h>

#include "pairs/pairs.h"

#define MAX_CLASSES 65536 /* with weights */

struct cross_entropy {
  double smoothing;
  float *weight; /* of each class; NULL: 1 */
  int n_weights;
};

static int
take_weights (struct cross_entropy *l, const struct qk_config *cfg)
{
  float first;
  double sum = 0;

  if (qk_config_floats (cfg, "class_weights", &first, 1) == 0)
    return 0;
  l->weight = malloc (MAX_CLASSES * sizeof *l->weight);
  if (l->weight == NULL)
    return qk_oom ("softmax_cross_entropy");
  l->n_weights
    = qk_config_floats (cfg, "class_weights", l->weight, MAX_CLASSES);
  for (int c = 0; c < l->n_weights && c < MAX_CLASSES; c++)
    sum += (double) l->weight[c];
  return sum > 0 && l->n_weights <= MAX_CLASSES
           ? 0
           : qk_error (-EINVAL,
                       "softmax_cross_entropy: class_weights (%s) must be at "
                       "most %d numbers, one of them > 0",
                       qk_config_where (cfg, "class_weights"), MAX_CLASSES);
}

static int
softmax_cross_entropy_create (const struct qk_config *cfg, void **self)
{
  struct cross_entropy *l = calloc (1, sizeof *l);
  int r;

  if (l == NULL)
    return qk_oom ("softmax_cross_entropy");
  l->smoothing = qk_config_float (cfg, "label_smoothing");
  if ((r = take_weights (l, cfg)) < 0) {
    free (l->weight);
    free (l);
    return r;
  }
  *self = l;
  return 0;
}

static void
softmax_cross_entropy_destroy (void *self)
{
  struct cross_entropy *l = self;

  if (l != NULL)
    free (l->weight);
  free (l);
}

static int
softmax_cross_entropy_check (void *self, const struct qk_tensor_spec *out,
                             int n_out, const struct qk_tensor_spec *ref,
                             int n_ref)
{
  const struct cross_entropy *l = self;
  const int r
    = pairs_check_categories ("softmax_cross_entropy", out, n_out, ref, n_ref);
  const int64_t classes = r < 0 ? 0 : out->shape.dims[out->shape.ndim - 1];

  if (r == 0 && l->weight != NULL && l->n_weights != classes)
    return qk_error (-EINVAL,
                     "softmax_cross_entropy: %d class_weights, expected one "
                     "for each of the %lld classes of output %s",
                     l->n_weights, (long long) classes, out->name);
  return r;
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

/* What is known of a row. */
struct row {
  double lse;
  double sum; /* of its logits, times the classes' weights */
};

static double
weight_of (const struct cross_entropy *l, int64_t c)
{
  return l->weight != NULL ? (double) l->weight[c] : 1;
}

/* The sum of all classes' weights. */
static double
all_weights (const struct cross_entropy *l, int64_t classes)
{
  double sum = 0;

  for (int64_t c = 0; c < classes; c++)
    sum += weight_of (l, c);
  return sum;
}

static int
read_row (const struct cross_entropy *l, const float *z, int64_t n,
          int64_t number, struct row *out)
{
  float max = z[0];
  double e = 0;

  out->sum = 0;
  for (int64_t c = 0; c < n; c++) {
    if (!isfinite (z[c]))
      return qk_error (-EDOM,
                       "softmax_cross_entropy: logit %lld of row %lld is %g",
                       (long long) c, (long long) number, (double) z[c]);
    max = z[c] > max ? z[c] : max;
    out->sum += weight_of (l, c) * (double) z[c];
  }
  for (int64_t c = 0; c < n; c++)
    e += exp ((double) z[c] - (double) max);
  out->lse = (double) max + log (e);
  return 0;
}

/* What the sum over rows is divided by: the weights of those that count. */
static double
divisor (const struct cross_entropy *l, const int32_t *label, int64_t rows)
{
  double n = 0;

  for (int64_t i = 0; i < rows; i++)
    n += label[i] != QK_NO_CATEGORY ? weight_of (l, label[i]) : 0;
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
  const double s = l->smoothing, weights = all_weights (l, classes);

  for (int64_t i = 0; i < rows; i++, z += classes) {
    struct row row = { 0, 0 };
    const int err = read_row (l, z, classes, i, &row);

    if (err < 0)
      return err;
    if (saved != NULL)
      saved[i] = row.lse;
    if (label[i] == QK_NO_CATEGORY)
      continue;
    if (label[i] < 0 || label[i] >= classes)
      return qk_error (-EINVAL,
                       "softmax_cross_entropy: label of row %lld is %d, must "
                       "be 0..%lld, or -1 where it does not count",
                       (long long) i, label[i], (long long) classes - 1);
    all += (1 - s) * weight_of (l, label[i]) * (row.lse - (double) z[label[i]])
           + s * (weights * row.lse - row.sum) / (double) classes;
  }
  *loss = all / divisor (l, label, rows);
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
  const double k = io->scale / divisor (l, label, rows);
  const double rest = l->smoothing / (double) classes;
  const double all_rest = rest * all_weights (l, classes);
  float *dz = io->dout[0].data;

  if (dz == NULL)
    return 0;
#pragma omp parallel for schedule(static)                                     \
  num_threads(io->threads) if (rows * classes > 16384)
  for (int64_t i = 0; i < rows; i++) {
    const bool counts = label[i] != QK_NO_CATEGORY;
    const double own
      = counts ? (1 - l->smoothing) * weight_of (l, label[i]) : 0;

    for (int64_t c = 0; c < classes; c++) {
      const int64_t at = i * classes + c;
      const double t = (c == label[i] ? own : 0) + rest * weight_of (l, c);

      dz[at]
        = counts ? (
            float) ((exp ((double) z[at] - lse[i]) * (own + all_rest) - t) * k)
                 : 0.0f;
    }
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
      { .name = "class_weights",
        .type = QK_OPT_FLOATS,
        .def = "",
        .min = 0,
        .max = 1e6,
        .help
        = "How much the samples of each class count; empty = all alike" },
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
