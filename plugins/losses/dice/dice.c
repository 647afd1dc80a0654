/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dice: how far the areas of the classes are from overlapping with those that
 * are meant, for dense labels of which one is much larger than others.
 * Milletari et al. 2016, https://arxiv.org/abs/1606.04797
 *
 * z f32 (N,…,C), label i32 (N,…): the mean over the samples of
 *   1 - (1/C) sum_c D_c,   D_c = (2 A_c + s) / (B_c + s),   s = smooth,
 *   A_c = sum_i p_ic t_ic,  B_c = sum_i (p_ic + t_ic)
 * over the sample's rows i whose label is not -1; p = softmax (z), t one at the
 * label.  dz_ic = p_ic (g_ic - sum_k p_ik g_ik) / N * scale,
 *   g_ic = -((2 t_ic) (B_c + s) - (2 A_c + s)) / (B_c + s)^2 / C */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/loss.h>

#include "pairs/pairs.h"

struct dice {
  double smooth;
};

static int
dice_create (const struct qk_config *cfg, void **self)
{
  struct dice *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("dice");
  l->smooth = qk_config_float (cfg, "smooth");
  *self = l;
  return 0;
}

static void
dice_destroy (void *self)
{
  free (self);
}

static int
dice_check (void *self, const struct qk_tensor_spec *out, int n_out,
            const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self;
  return pairs_check_categories ("dice", out, n_out, ref, n_ref);
}

/* A_c and B_c of every class and sample, double */
static size_t
dice_saved (void *self, const struct qk_tensor_spec *out, int n_out, int64_t n)
{
  (void) self;
  (void) n_out;
  return (size_t) (2 * n * out->shape.dims[out->shape.ndim - 1])
         * sizeof (double);
}

/* The largest of N logits, and the sum of their exponentials below it. */
static double
normaliser (const float *z, int64_t n, double *max)
{
  double sum = 0;

  *max = (double) z[0];
  for (int64_t c = 1; c < n; c++)
    *max = (double) z[c] > *max ? (double) z[c] : *max;
  for (int64_t c = 0; c < n; c++)
    sum += exp ((double) z[c] - *max);
  return sum;
}

/* The sums of ROWS rows of one sample into A and B. */
static int
areas (const float *z, const int32_t *label, int64_t rows, int64_t classes,
       double *a, double *b)
{
  for (int64_t c = 0; c < classes; c++)
    a[c] = b[c] = 0;
  for (int64_t i = 0; i < rows; i++, z += classes) {
    double max, sum;

    if (label[i] == QK_NO_CATEGORY)
      continue;
    if (label[i] < 0 || label[i] >= classes)
      return qk_error (-EINVAL,
                       "dice: label of row %lld of a sample is %d, must be "
                       "0..%lld, or -1 where it does not count",
                       (long long) i, label[i], (long long) classes - 1);
    sum = normaliser (z, classes, &max);
    if (!isfinite (sum))
      return qk_error (-EDOM,
                       "dice: the logits of row %lld of a sample are "
                       "not finite",
                       (long long) i);
    for (int64_t c = 0; c < classes; c++)
      b[c] += exp ((double) z[c] - max) / sum;
    a[label[i]] += exp ((double) z[label[i]] - max) / sum;
    b[label[i]] += 1;
  }
  return 0;
}

static int
dice_forward (void *self, const struct qk_loss_io *io, double *loss)
{
  const double s = ((const struct dice *) self)->smooth;
  const int64_t n = io->out->shape.dims[0];
  int64_t classes, i, c;
  const int64_t rows = pairs_rows (io->out, &classes) / n;
  double *own
    = io->saved == NULL ? malloc ((size_t) (2 * classes) * sizeof *own) : NULL;
  double all = 0;
  int err = io->saved == NULL && own == NULL ? qk_oom ("dice") : 0;

  for (i = 0; err == 0 && i < n; i++) {
    double *a = own != NULL ? own : (double *) io->saved + 2 * i * classes;
    double *b = a + classes, sum = 0;

    err = areas ((const float *) io->out->data + i * rows * classes,
                 (const int32_t *) io->ref->data + i * rows, rows, classes, a,
                 b);
    for (c = 0; err == 0 && c < classes; c++)
      sum += (2 * a[c] + s) / (b[c] + s);
    all += 1 - sum / (double) classes;
  }
  free (own);
  *loss = all / (double) n;
  return err;
}

/* Of one row; K is what the gradients are multiplied by. */
static void
row_backward (const float *z, int32_t label, int64_t classes, const double *a,
              double s, double k, float *dz)
{
  const double *b = a + classes;
  double max, mean = 0;
  const double sum = normaliser (z, classes, &max);
  int64_t c;
  int pass;

  for (pass = 0; pass < 2; pass++)
    for (c = 0; c < classes; c++) {
      const double p = exp ((double) z[c] - max) / sum, bs = b[c] + s;
      const double g
        = -((c == label ? 2 * bs : 0) - (2 * a[c] + s)) / (bs * bs);

      if (pass == 0)
        mean += p * g;
      else
        dz[c] = (float) (p * (g - mean) * k);
    }
}

static int
dice_backward (void *self, const struct qk_loss_io *io)
{
  const double s = ((const struct dice *) self)->smooth;
  const int64_t n = io->out->shape.dims[0];
  int64_t classes, i;
  const int64_t all = pairs_rows (io->out, &classes), rows = all / n;
  const double k = io->scale / (double) (n * classes);
  const int32_t *label = io->ref->data;
  const double *saved = io->saved;
  const float *z = io->out->data;
  float *dz = io->dout->data;

  if (dz == NULL)
    return 0;
#pragma omp parallel for schedule(static)                                     \
  num_threads(io->threads) if (all * classes > 16384)
  for (i = 0; i < all; i++) {
    if (label[i] != QK_NO_CATEGORY)
      row_backward (z + i * classes, label[i], classes,
                    saved + 2 * (i / rows) * classes, s, k, dz + i * classes);
    else
      for (int64_t c = 0; c < classes; c++)
        dz[i * classes + c] = 0;
  }
  return 0;
}

static const struct qk_option options[]
  = { { .name = "smooth",
        .type = QK_OPT_FLOAT,
        .def = "1",
        .min = 1e-6,
        .max = 1e6,
        .help = "Added to areas, so that a class that is not there counts as "
                "found when it is not answered" },
      { .name = NULL } };

static const struct qk_loss_class dice = {
  .cls = QK_CLASS (struct qk_loss_class, QK_KIND_LOSS, "dice",
                   "How far the areas of dense labels are from overlapping",
                   options),
  .create = dice_create,
  .destroy = dice_destroy,
  .check = dice_check,
  .saved = dice_saved,
  .forward = dice_forward,
  .backward = dice_backward,
};

QK_PLUGIN ("dice", PACKAGE_VERSION, "LGPL-2.1-or-later", &dice.cls);
