/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* distillation: how far outputs are from those of a teacher, the float
 * network; of several outputs the sum.
 *
 * z, t f32 (N,…,C), rows of C numbers
 *   kl: the mean over rows, with p (x) = softmax (x / T), of
 *     T^2 sum_c p (t)_c (log p (t)_c - log p (z)_c)
 *     dz_c = T (p (z)_c - p (t)_c) / rows * scale
 *     Hinton et al. 2015, https://arxiv.org/abs/1503.02531
 *   mse: the mean over elements of (z - t)^2;  dz = 2 (z - t) / elements
 *   cosine: the mean over samples of 1 - z.t / (|z| |t|), all elements of a
 *     sample one vector;  dz = (cos z / |z| - t / |t|) / |z| / N */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/loss.h>

#include "pairs/pairs.h"

enum measure { KL, MSE, COSINE };

struct distillation {
  enum measure measure;
  double temperature;
};

static const char *const measures[] = { "kl", "mse", "cosine", NULL };

static int
distillation_create (const struct qk_config *cfg, void **self)
{
  struct distillation *l = calloc (1, sizeof *l);
  const char *measure = qk_config_string (cfg, "measure");

  if (l == NULL)
    return qk_oom ("distillation");
  while (strcmp (measures[l->measure], measure) != 0)
    l->measure++;
  l->temperature = qk_config_float (cfg, "temperature");
  *self = l;
  return 0;
}

static void
distillation_destroy (void *self)
{
  free (self);
}

static int
distillation_check (void *self, const struct qk_tensor_spec *out, int n_out,
                    const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self;
  return pairs_check_equal ("distillation", out, n_out, ref, n_ref);
}

/* ---- kl: of every row the two log sum exp are kept --------------------- */

static size_t
distillation_saved (void *self, const struct qk_tensor_spec *out, int n_out,
                    int64_t n)
{
  const struct distillation *l = self;
  size_t rows = 0;

  for (int k = 0; k < n_out; k++) {
    const struct qk_shape *s = &out[k].shape;

    rows += (size_t) (n * qk_shape_count (s) / s->dims[s->ndim - 1]);
  }
  return l->measure == KL ? 2 * rows * sizeof (double) : 0;
}

/* log sum exp (z / T) of a row; NaN or infinite if a number is. */
static double
log_sum_exp (const float *z, int64_t n, double temperature)
{
  float max = z[0];
  double e = 0;

  for (int64_t c = 0; c < n; c++)
    max = z[c] > max ? z[c] : max;
  for (int64_t c = 0; c < n; c++)
    e += exp (((double) z[c] - (double) max) / temperature);
  return (double) max / temperature + log (e);
}

static double
kl_forward (const struct distillation *l, const struct qk_tensor *out,
            const struct qk_tensor *ref, double *saved)
{
  const double T = l->temperature;
  int64_t c;
  const int64_t rows = pairs_rows (out, &c);
  const float *z = out->data, *t = ref->data;
  double loss = 0;

  for (int64_t i = 0; i < rows; i++, z += c, t += c) {
    const double lz = log_sum_exp (z, c, T), lt = log_sum_exp (t, c, T);

    for (int64_t j = 0; j < c; j++) {
      const double a = (double) t[j] / T - lt;

      loss += exp (a) * (a - ((double) z[j] / T - lz));
    }
    if (saved != NULL) {
      saved[2 * i] = lz;
      saved[2 * i + 1] = lt;
    }
  }
  return T * T * loss / (double) rows;
}

static void
kl_backward (const struct distillation *l, const struct qk_tensor *out,
             const struct qk_tensor *ref, const double *saved, double scale,
             float *dz)
{
  const double T = l->temperature;
  int64_t c;
  const int64_t rows = pairs_rows (out, &c);
  const float *z = out->data, *t = ref->data;
  const double k = T * scale / (double) rows;

  for (int64_t i = 0; i < rows * c; i++) {
    const double *s = saved + 2 * (i / c);

    dz[i] = (float) (k
                     * (exp ((double) z[i] / T - s[0])
                        - exp ((double) t[i] / T - s[1])));
  }
}

/* ---- mse ---------------------------------------------------------------- */

static double
mse_forward (const struct qk_tensor *out, const struct qk_tensor *ref)
{
  const int64_t n = qk_shape_count (&out->shape);
  const float *z = out->data, *t = ref->data;
  double sum = 0;

  for (int64_t i = 0; i < n; i++) {
    const double d = (double) z[i] - (double) t[i];

    sum += d * d;
  }
  return sum / (double) n;
}

static void
mse_backward (const struct qk_tensor *out, const struct qk_tensor *ref,
              double scale, float *dz)
{
  const int64_t n = qk_shape_count (&out->shape);
  const float *z = out->data, *t = ref->data;

  for (int64_t i = 0; i < n; i++)
    dz[i] = (float) (2 * ((double) z[i] - (double) t[i]) * scale / (double) n);
}

/* ---- cosine -------------------------------------------------------------- */

/* Lengths and cosine of two vectors; the cosine with a vector of zeros is
 * 0. */
static double
cosine (const float *z, const float *t, int64_t n, double *lz, double *lt)
{
  double zz = 0, tt = 0, zt = 0;

  for (int64_t i = 0; i < n; i++) {
    zz += (double) z[i] * (double) z[i];
    tt += (double) t[i] * (double) t[i];
    zt += (double) z[i] * (double) t[i];
  }
  *lz = sqrt (zz);
  *lt = sqrt (tt);
  return *lz > 0 && *lt > 0 ? zt / (*lz * *lt) : 0;
}

static double
cosine_forward (const struct qk_tensor *out, const struct qk_tensor *ref)
{
  const int64_t n = out->shape.dims[0];
  const int64_t size = qk_shape_count (&out->shape) / n;
  const float *z = out->data, *t = ref->data;
  double sum = 0, lz, lt;

  for (int64_t i = 0; i < n; i++)
    sum += 1 - cosine (z + i * size, t + i * size, size, &lz, &lt);
  return sum / (double) n;
}

static void
cosine_backward (const struct qk_tensor *out, const struct qk_tensor *ref,
                 double scale, float *dz)
{
  const int64_t n = out->shape.dims[0];
  const int64_t size = qk_shape_count (&out->shape) / n;
  const float *z = out->data, *t = ref->data;

  for (int64_t i = 0; i < n; i++, z += size, t += size, dz += size) {
    double lz, lt;
    const double c = cosine (z, t, size, &lz, &lt);
    const bool flat = !(lz > 0 && lt > 0);

    for (int64_t j = 0; j < size; j++)
      dz[j] = flat ? 0.0f
                   : (float) (((double) z[j] * c / lz - (double) t[j] / lt)
                              / lz * scale / (double) n);
  }
}

/* ---- the loss ------------------------------------------------------------ */

static int
distillation_forward (void *self, const struct qk_loss_io *io, double *loss)
{
  const struct distillation *l = self;
  double *saved = io->saved;

  *loss = 0;
  for (int k = 0; k < io->n_out; k++) {
    const struct qk_tensor *out = &io->out[k], *ref = &io->ref[k];
    int64_t c;

    *loss += l->measure == KL    ? kl_forward (l, out, ref, saved)
             : l->measure == MSE ? mse_forward (out, ref)
                                 : cosine_forward (out, ref);
    saved += saved != NULL ? 2 * pairs_rows (out, &c) : 0;
  }
  return isfinite (*loss)
           ? 0
           : qk_error (-EDOM, "distillation: outputs are not finite");
}

static int
distillation_backward (void *self, const struct qk_loss_io *io)
{
  const struct distillation *l = self;
  const double *saved = io->saved;

  for (int k = 0; k < io->n_out; k++) {
    const struct qk_tensor *out = &io->out[k], *ref = &io->ref[k];
    float *dz = io->dout[k].data;
    int64_t c;

    if (dz != NULL && l->measure == KL)
      kl_backward (l, out, ref, saved, io->scale, dz);
    else if (dz != NULL && l->measure == MSE)
      mse_backward (out, ref, io->scale, dz);
    else if (dz != NULL)
      cosine_backward (out, ref, io->scale, dz);
    saved += saved != NULL ? 2 * pairs_rows (out, &c) : 0;
  }
  return 0;
}

static const struct qk_option options[]
  = { { .name = "measure",
        .type = QK_OPT_CHOICE,
        .def = "kl",
        .choices = measures,
        .help = "What is compared: kl, the distributions that softmax makes "
                "of the last axis; mse, the numbers; cosine, the directions" },
      { .name = "temperature",
        .type = QK_OPT_FLOAT,
        .def = "4",
        .min = 0.01,
        .max = 1000,
        .help = "kl: what both outputs are divided by" },
      { .name = NULL } };

static const struct qk_loss_class distillation = {
  .cls = QK_CLASS_DEFAULT (struct qk_loss_class, QK_KIND_LOSS, "distillation",
                           "Distance of the outputs from the float network's",
                           options, 5, 0, ""),
  .reference = QK_REFERENCE_TEACHER,
  .create = distillation_create,
  .destroy = distillation_destroy,
  .check = distillation_check,
  .saved = distillation_saved,
  .forward = distillation_forward,
  .backward = distillation_backward,
};

QK_PLUGIN ("distillation", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &distillation.cls);
