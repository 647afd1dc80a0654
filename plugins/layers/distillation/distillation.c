/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* distillation: how far logits are from those of a teacher (Hinton et al.
 * 2015, https://arxiv.org/abs/1503.02531).
 *
 * z, t f32 (N,C) -> loss f32 (1), with p (x) = softmax (x / T), the mean over
 * N of
 *   T^2 sum_c p (t)_c (log p (t)_c - log p (z)_c)
 * dz_c = T (p (z)_c - p (t)_c) / N * dloss
 * dt_c = T p (t)_c ((log p (t)_c - log p (z)_c) - KL) / N * dloss */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/layer.h>

struct distillation {
  double temperature;
};

static int
distillation_create (const struct qk_config *cfg, void **self)
{
  struct distillation *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("distillation");
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
distillation_infer (void *self, const struct qk_shape *in, int n_in,
                    struct qk_shape *out)
{
  char a[80], b[80];

  (void) self;
  if (n_in != 2)
    return qk_error (-EINVAL,
                     "distillation: takes the logits of two "
                     "networks, got %d inputs",
                     n_in);
  if (in[0].ndim != 2 || in[0].dims[1] < 1 || !qk_shape_equal (&in[0], &in[1]))
    return qk_error (-EINVAL,
                     "distillation: both logits must be (N,C), got "
                     "%s and %s",
                     qk_shape_print (&in[0], a, sizeof a),
                     qk_shape_print (&in[1], b, sizeof b));
  *out = (struct qk_shape){ 1, { 1 } };
  return 0;
}

static void
distillation_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->role = QK_ROLE_LOSS;
}

/* saved: of every row the two log sum exp and the divergence, double */
static int
distillation_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->keep_out = false;
  if (s->train)
    s->saved = 3 * (size_t) s->in[0].dims[0] * sizeof (double);
  return 0;
}

/* log sum exp (z / T) of a row; NaN or infinite if a logit is. */
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

static int
distillation_forward (void *self, struct qk_layer_io *io)
{
  const double temperature = ((struct distillation *) self)->temperature;
  const int64_t n = io->in[0].shape.dims[0], classes = io->in[0].shape.dims[1];
  const float *z = io->in[0].data, *t = io->in[1].data;
  double *saved = io->flags & QK_PASS_TRAIN ? io->saved : NULL;
  double loss = 0;

  for (int64_t i = 0; i < n; i++, z += classes, t += classes) {
    const double lz = log_sum_exp (z, classes, temperature);
    const double lt = log_sum_exp (t, classes, temperature);
    double kl = 0;

    for (int64_t c = 0; c < classes; c++) {
      const double a = (double) t[c] / temperature - lt;

      kl += exp (a) * (a - ((double) z[c] / temperature - lz));
    }
    if (!isfinite (lz) || !isfinite (lt) || !isfinite (kl))
      return qk_error (-EDOM,
                       "distillation: logits of sample %lld are not "
                       "finite",
                       (long long) i);
    loss += kl;
    if (saved != NULL) {
      saved[3 * i] = lz;
      saved[3 * i + 1] = lt;
      saved[3 * i + 2] = kl;
    }
  }
  *(float *) io->out->data
    = (float) (temperature * temperature * loss / (double) n);
  return 0;
}

static int
distillation_backward (void *self, struct qk_layer_io *io)
{
  const double temperature = ((struct distillation *) self)->temperature;
  const int64_t n = io->in[0].shape.dims[0], classes = io->in[0].shape.dims[1];
  const float *z = io->in[0].data, *t = io->in[1].data;
  const double *saved = io->saved;
  const double k
    = temperature * (double) *(const float *) io->dout->data / (double) n;
  float *dz = io->din[0].data, *dt = io->din[1].data;

  for (int64_t i = 0; i < n * classes; i++) {
    const double *s = saved + 3 * (i / classes);
    const double a = (double) z[i] / temperature - s[0];
    const double b = (double) t[i] / temperature - s[1];

    if (dz != NULL)
      dz[i] = (float) (k * (exp (a) - exp (b)));
    if (dt != NULL)
      dt[i] = (float) (k * exp (b) * ((b - a) - s[2]));
  }
  return 0;
}

static const struct qk_option options[]
  = { { .name = "temperature",
        .type = QK_OPT_FLOAT,
        .def = "4",
        .min = 0.01,
        .max = 1000,
        .help = "What both logits are divided by." },
      { .name = NULL } };

static const struct qk_layer_class distillation = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "distillation",
                   "Divergence of softmax (logits) from a teacher's", options),
  .create = distillation_create,
  .destroy = distillation_destroy,
  .infer = distillation_infer,
  .describe = distillation_describe,
  .setup = distillation_setup,
  .forward = distillation_forward,
  .backward = distillation_backward,
};

QK_PLUGIN ("distillation", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &distillation.cls);
