/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* softmax_cross_entropy: how far logits are from the labels.
 *
 * z f32 (N,C), label i32 (N) -> loss f32 (1), the mean over N of
 *   sum_c t_c (lse (z) - z_c),   lse (z) = log sum_c exp z_c,
 *   t_c = (1 - s) [c = label] + s / C,   s = label_smoothing
 * dz_c = (exp (z_c - lse) - t_c) / N * dloss
 * Label smoothing: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567 */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/layer.h>

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
softmax_cross_entropy_infer (void *self, const struct qk_shape *in, int n_in,
                             struct qk_shape *out)
{
  char a[80], b[80];

  (void) self;
  if (n_in != 2)
    return qk_error (-EINVAL,
                     "softmax_cross_entropy: takes logits and labels, got %d "
                     "inputs",
                     n_in);
  if (in[0].ndim != 2 || in[0].dims[1] < 1 || in[1].ndim != 1
      || in[1].dims[0] != in[0].dims[0])
    return qk_error (-EINVAL,
                     "softmax_cross_entropy: logits must be (N,C) and labels "
                     "(N), got %s and %s",
                     qk_shape_print (&in[0], a, sizeof a),
                     qk_shape_print (&in[1], b, sizeof b));
  *out = (struct qk_shape){ 1, { 1 } };
  return 0;
}

static void
softmax_cross_entropy_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->role = QK_ROLE_LOSS;
}

/* saved: lse of every row, double */
static int
softmax_cross_entropy_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->keep_out = false;
  if (s->train)
    s->saved = (size_t) s->in[0].dims[0] * sizeof (double);
  return 0;
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
                       "softmax_cross_entropy: logit %lld of sample %lld "
                       "is %g",
                       (long long) c, (long long) row, (double) z[c]);
    max = z[c] > max ? z[c] : max;
    *sum += (double) z[c];
  }
  for (int64_t c = 0; c < n; c++)
    e += exp ((double) z[c] - (double) max);
  *lse = (double) max + log (e);
  return 0;
}

static int
softmax_cross_entropy_forward (void *self, struct qk_layer_io *io)
{
  const struct cross_entropy *l = self;
  const int64_t n = io->in[0].shape.dims[0], classes = io->in[0].shape.dims[1];
  const float *z = io->in[0].data;
  const int32_t *label = io->in[1].data;
  double *saved = io->flags & QK_PASS_TRAIN ? io->saved : NULL;
  const double s = l->smoothing;
  double loss = 0;

  for (int64_t i = 0; i < n; i++, z += classes) {
    double lse = 0, sum = 0;
    const int err = log_sum_exp (z, classes, i, &lse, &sum);

    if (err < 0)
      return err;
    if (label[i] < 0 || label[i] >= classes)
      return qk_error (-EINVAL,
                       "softmax_cross_entropy: label of sample %lld is %d, "
                       "must be 0..%lld",
                       (long long) i, label[i], (long long) classes - 1);
    loss += (1 - s) * (lse - (double) z[label[i]])
            + s * (lse - sum / (double) classes);
    if (saved != NULL)
      saved[i] = lse;
  }
  *(float *) io->out->data = (float) (loss / (double) n);
  return 0;
}

static int
softmax_cross_entropy_backward (void *self, struct qk_layer_io *io)
{
  const struct cross_entropy *l = self;
  const int64_t n = io->in[0].shape.dims[0], classes = io->in[0].shape.dims[1];
  const float *z = io->in[0].data;
  const int32_t *label = io->in[1].data;
  const double *lse = io->saved;
  const double k = (double) *(const float *) io->dout->data / (double) n;
  const double rest = l->smoothing / (double) classes;
  float *dz = io->din[0].data;

  if (dz == NULL)
    return 0;
  for (int64_t i = 0; i < n; i++, z += classes, dz += classes) {
    for (int64_t c = 0; c < classes; c++) {
      const double t = (c == label[i] ? 1 - l->smoothing : 0) + rest;

      dz[c] = (float) ((exp ((double) z[c] - lse[i]) - t) * k);
    }
  }
  return 0;
}

static const struct qk_option options[]
  = { { .name = "label_smoothing",
        .type = QK_OPT_FLOAT,
        .def = "0",
        .min = 0,
        .max = 1,
        .help = "Share of the target spread evenly over all classes." },
      { .name = NULL } };

static const struct qk_layer_class softmax_cross_entropy = {
  .cls
  = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "softmax_cross_entropy",
              "Mean cross-entropy of softmax (logits) and labels", options),
  .create = softmax_cross_entropy_create,
  .destroy = softmax_cross_entropy_destroy,
  .infer = softmax_cross_entropy_infer,
  .describe = softmax_cross_entropy_describe,
  .setup = softmax_cross_entropy_setup,
  .forward = softmax_cross_entropy_forward,
  .backward = softmax_cross_entropy_backward,
};

QK_PLUGIN ("softmax_cross_entropy", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &softmax_cross_entropy.cls);
