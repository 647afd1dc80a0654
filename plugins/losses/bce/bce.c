/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bce: binary cross-entropy of logits, for samples with several labels, as
 * PyTorch's nn.BCEWithLogitsLoss.
 *
 * z, t f32 of one shape, t in 0..1: the mean over all elements of
 *   (1 - t) z + (1 + (w - 1) t) log (1 + exp (-z)),   w = positive_weight
 * of several outputs the sum of their means.
 * dz = ((1 - t) - (1 + (w - 1) t) (1 - sigmoid (z))) / elements * scale */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/loss.h>

#include "pairs/pairs.h"

struct bce {
  double weight;
};

static int
bce_create (const struct qk_config *cfg, void **self)
{
  struct bce *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("bce");
  l->weight = qk_config_float (cfg, "positive_weight");
  *self = l;
  return 0;
}

static void
bce_destroy (void *self)
{
  free (self);
}

static int
bce_check (void *self, const struct qk_tensor_spec *out, int n_out,
           const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self;
  return pairs_check_equal ("bce", out, n_out, ref, n_ref);
}

/* log (1 + exp (-z)) */
static double
softplus_minus (double z)
{
  return (z < 0 ? -z : 0) + log1p (exp (-fabs (z)));
}

static int
bce_forward (void *self, const struct qk_loss_io *io, double *loss)
{
  const struct bce *l = self;

  *loss = 0;
  for (int k = 0; k < io->n_out; k++) {
    const int64_t n = qk_shape_count (&io->out[k].shape);
    const float *z = io->out[k].data, *t = io->ref[k].data;
    double sum = 0;

    for (int64_t i = 0; i < n; i++) {
      const double zi = (double) z[i], ti = (double) t[i];

      if (!isfinite (zi))
        return qk_error (-EDOM, "bce: logit %lld is %g", (long long) i, zi);
      if (!(ti >= 0 && ti <= 1))
        return qk_error (-EINVAL, "bce: target %lld is %g, expected 0 to 1",
                         (long long) i, ti);
      sum += (1 - ti) * zi + (1 + (l->weight - 1) * ti) * softplus_minus (zi);
    }
    *loss += sum / (double) n;
  }
  return 0;
}

static int
bce_backward (void *self, const struct qk_loss_io *io)
{
  const struct bce *l = self;

  for (int k = 0; k < io->n_out; k++) {
    const int64_t n = qk_shape_count (&io->out[k].shape);
    const float *z = io->out[k].data, *t = io->ref[k].data;
    float *dz = io->dout[k].data;

    for (int64_t i = 0; dz != NULL && i < n; i++) {
      const double ti = (double) t[i], w = 1 + (l->weight - 1) * ti;

      dz[i] = (float) (((1 - ti) - w / (1 + exp ((double) z[i]))) * io->scale
                       / (double) n);
    }
  }
  return 0;
}

static const struct qk_option options[]
  = { { .name = "positive_weight",
        .type = QK_OPT_FLOAT,
        .def = "1",
        .min = 1e-6,
        .max = 1e6,
        .help = "Weight of the elements whose target is 1, where they are "
                "rare" },
      { .name = NULL } };

static const struct qk_loss_class bce = {
  .cls = QK_CLASS (struct qk_loss_class, QK_KIND_LOSS, "bce",
                   "Binary cross-entropy of logits, for several labels a "
                   "sample",
                   options),
  .create = bce_create,
  .destroy = bce_destroy,
  .check = bce_check,
  .forward = bce_forward,
  .backward = bce_backward,
};

QK_PLUGIN ("bce", PACKAGE_VERSION, "LGPL-2.1-or-later", &bce.cls);
