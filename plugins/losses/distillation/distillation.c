/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* distillation: how far outputs, or values of inner nodes, are from those of a
 * teacher, the float network; of several the sum.
 *
 * z, t f32 (N,…,C), rows of C numbers
 *   kl: the mean over rows, with p (x) = softmax (x / T), of
 *     T^2 sum_c p (t)_c (log p (t)_c - log p (z)_c)
 *     dz_c = T (p (z)_c - p (t)_c) / rows * scale
 *     Hinton et al. 2015, https://arxiv.org/abs/1503.02531
 *   mse: the mean over elements of (z - t)^2;  dz = 2 (z - t) / elements
 *   relative_mse: the mean over samples of |z - t|^2 / |t|^2, which counts layers
 *     of large and of small numbers alike, and no sample whose t is 0;
 *     dz = 2 (z - t) / |t|^2 / N
 *   cosine: the mean over samples of 1 - z.t / (|z| |t|), all elements of a
 *     sample one vector;  dz = (cos z / |z| - t / |t|) / |z| / N
 *   attention: with Q (x)_i = sum_c x_ic^2 at each position i of a sample, the mean
 *     over samples of | Q (z) / |Q (z)| - Q (t) / |Q (t)| |^2;
 *     dz_ic = 4 z_ic (cos Q (z)_i / |Q (z)| - Q (t)_i / |Q (t)|) / |Q (z)| / N
 *     Zagoruyko and Komodakis 2017, https://arxiv.org/abs/1612.03928, the square
 *     of their norm for p = 2 */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/loss.h>

#include "pairs/pairs.h"

enum measure { KL, MSE, RELATIVE_MSE, COSINE, ATTENTION };

struct distillation {
  enum measure measure;
  double temperature;
};

static const char *const measures[]
  = { "kl", "mse", "relative_mse", "cosine", "attention", NULL };

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
  const struct distillation *l = self;
  char shape[160];

  for (int i = 0; l->measure == ATTENTION && i < n_out; i++)
    if (out[i].shape.ndim < 3)
      return qk_error (
        -EINVAL,
        "distillation: measure = attention compares positions, "
        "expected tensors (N,...,C) of three axes and more, got "
        "%s",
        qk_spec_print (&out[i], shape, sizeof shape));
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

/* ---- measures of a sample: rows of C numbers ------------------------------ */

/* Rows of a sample, numbers of a row, and the elements of both. */
struct sample {
  int64_t rows, c, size;
};

/* What a measure gives for z and t, and dz by its K-fold. */
struct by_sample {
  double (*loss) (const struct sample *s, const float *z, const float *t);
  void (*gradient) (const struct sample *s, const float *z, const float *t,
                    double k, float *dz);
};

static double
mse (const struct sample *s, const float *z, const float *t)
{
  double sum = 0;

  for (int64_t i = 0; i < s->size; i++) {
    const double d = (double) z[i] - (double) t[i];

    sum += d * d;
  }
  return sum / (double) s->size;
}

static void
mse_gradient (const struct sample *s, const float *z, const float *t, double k,
              float *dz)
{
  for (int64_t i = 0; i < s->size; i++)
    dz[i]
      = (float) (2 * ((double) z[i] - (double) t[i]) * k / (double) s->size);
}

static double
relative_mse (const struct sample *s, const float *z, const float *t)
{
  double sum = 0, tt = 0;

  for (int64_t i = 0; i < s->size; i++) {
    const double d = (double) z[i] - (double) t[i];

    sum += d * d;
    tt += (double) t[i] * (double) t[i];
  }
  return tt > 0 ? sum / tt : 0 * sum; /* NaN stays NaN */
}

static void
relative_mse_gradient (const struct sample *s, const float *z, const float *t,
                       double k, float *dz)
{
  double tt = 0, by;

  for (int64_t i = 0; i < s->size; i++)
    tt += (double) t[i] * (double) t[i];
  by = tt > 0 ? 2 * k / tt : 0;
  for (int64_t i = 0; i < s->size; i++)
    dz[i] = (float) (((double) z[i] - (double) t[i]) * by);
}

/* Two vectors: their lengths and cosine, 0 with one of zeros. */
struct angle {
  double z, t, cosine;
};

static struct angle
angle_of (double zz, double tt, double zt)
{
  struct angle a = { sqrt (zz), sqrt (tt), 0 };

  if (a.z > 0 && a.t > 0)
    a.cosine = zt / (a.z * a.t);
  else /* NaN stays NaN */
    a.cosine = 0 * zt;
  return a;
}

static struct angle
angle (const struct sample *s, const float *z, const float *t)
{
  double zz = 0, tt = 0, zt = 0;

  for (int64_t i = 0; i < s->size; i++) {
    zz += (double) z[i] * (double) z[i];
    tt += (double) t[i] * (double) t[i];
    zt += (double) z[i] * (double) t[i];
  }
  return angle_of (zz, tt, zt);
}

static double
cosine (const struct sample *s, const float *z, const float *t)
{
  return 1 - angle (s, z, t).cosine;
}

static void
cosine_gradient (const struct sample *s, const float *z, const float *t,
                 double k, float *dz)
{
  const struct angle a = angle (s, z, t);
  const bool flat = !(a.z > 0 && a.t > 0);

  for (int64_t j = 0; j < s->size; j++)
    dz[j] = flat
              ? 0.0f
              : (float) (((double) z[j] * a.cosine / a.z - (double) t[j] / a.t)
                         / a.z * k);
}

/* Q of a row. */
static double
energy (const float *x, int64_t c)
{
  double sum = 0;

  for (int64_t j = 0; j < c; j++)
    sum += (double) x[j] * (double) x[j];
  return sum;
}

static struct angle
angle_of_maps (const struct sample *s, const float *z, const float *t)
{
  double zz = 0, tt = 0, zt = 0;

  for (int64_t i = 0; i < s->rows; i++) {
    const double a = energy (z + i * s->c, s->c);
    const double b = energy (t + i * s->c, s->c);

    zz += a * a;
    tt += b * b;
    zt += a * b;
  }
  return angle_of (zz, tt, zt);
}

static double
attention (const struct sample *s, const float *z, const float *t)
{
  const struct angle a = angle_of_maps (s, z, t);

  return (a.z > 0) + (a.t > 0) - 2 * a.cosine;
}

static void
attention_gradient (const struct sample *s, const float *z, const float *t,
                    double k, float *dz)
{
  const struct angle a = angle_of_maps (s, z, t);
  const bool flat = !(a.z > 0 && a.t > 0);

  for (int64_t i = 0; i < s->rows; i++) {
    const int64_t at = i * s->c;
    const double by = flat ? 0
                           : 4 * k / a.z
                               * (energy (z + at, s->c) * a.cosine / a.z
                                  - energy (t + at, s->c) / a.t);

    for (int64_t j = 0; j < s->c; j++)
      dz[at + j] = (float) ((double) z[at + j] * by);
  }
}

static const struct by_sample by_sample[] = {
  [MSE] = { mse, mse_gradient },
  [RELATIVE_MSE] = { relative_mse, relative_mse_gradient },
  [COSINE] = { cosine, cosine_gradient },
  [ATTENTION] = { attention, attention_gradient },
};

static struct sample
sample_of (const struct qk_tensor *out)
{
  struct sample s;

  s.rows = pairs_rows (out, &s.c) / out->shape.dims[0];
  s.size = s.rows * s.c;
  return s;
}

/* The mean over samples; their losses are added up in their order, whatever the
 * threads. */
static int
samples_forward (const struct by_sample *m, const struct qk_tensor *out,
                 const struct qk_tensor *ref, int threads, double *mean)
{
  const int64_t n = out->shape.dims[0];
  const struct sample s = sample_of (out);
  const float *z = out->data, *t = ref->data;
  double *loss = malloc ((size_t) n * sizeof *loss);

  if (loss == NULL)
    return qk_oom ("distillation");
  (void) threads; /* without OpenMP there is one */
#pragma omp parallel for schedule(static)                                     \
  num_threads(threads) if (n * s.size > 65536)
  for (int64_t i = 0; i < n; i++)
    loss[i] = m->loss (&s, z + i * s.size, t + i * s.size);
  *mean = 0;
  for (int64_t i = 0; i < n; i++)
    *mean += loss[i];
  *mean /= (double) n;
  free (loss);
  return 0;
}

static void
samples_backward (const struct by_sample *m, const struct qk_tensor *out,
                  const struct qk_tensor *ref, const struct qk_loss_io *io,
                  float *dz)
{
  const int64_t n = out->shape.dims[0];
  const struct sample s = sample_of (out);
  const float *z = out->data, *t = ref->data;
  const int threads = io->threads;

  (void) threads;
#pragma omp parallel for schedule(static)                                     \
  num_threads(threads) if (n * s.size > 65536)
  for (int64_t i = 0; i < n; i++)
    m->gradient (&s, z + i * s.size, t + i * s.size, io->scale / (double) n,
                 dz + i * s.size);
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
    double one = 0;
    int64_t c;
    int r = 0;

    if (l->measure == KL)
      one = kl_forward (l, out, ref, saved);
    else
      r = samples_forward (&by_sample[l->measure], out, ref, io->threads,
                           &one);
    if (r < 0)
      return r;
    *loss += one;
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
    else if (dz != NULL)
      samples_backward (&by_sample[l->measure], out, ref, io, dz);
    saved += saved != NULL ? 2 * pairs_rows (out, &c) : 0;
  }
  return 0;
}

static const struct qk_option options[]
  = { { .name = "measure",
        .type = QK_OPT_CHOICE,
        .def = "kl",
        .choices = measures,
        .help
        = "What is compared: kl, the distributions that softmax makes "
          "of the last axis; mse, the numbers; relative_mse, the numbers "
          "by the size of the teacher's; cosine, the directions; "
          "attention, where in a sample the numbers are large" },
      { .name = "temperature",
        .type = QK_OPT_FLOAT,
        .def = "4",
        .min = 0.01,
        .max = 1000,
        .help = "kl: what both outputs are divided by" },
      { .name = NULL } };

static const struct qk_loss_class distillation = {
  .cls
  = QK_CLASS_DEFAULT (struct qk_loss_class, QK_KIND_LOSS, "distillation",
                      "Distance of outputs, or inner tensors, from the float "
                      "network's",
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
