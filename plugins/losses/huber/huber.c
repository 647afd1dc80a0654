/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* huber: squared error near the target, absolute error far from it, as
 * PyTorch's nn.HuberLoss.  Huber 1964, https://doi.org/10.1214/aoms/1177703732
 *
 * y, t f32 of one shape: the mean over all elements of
 *   d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) elsewhere,  d = y - t
 * of several outputs the sum of their means.
 * dy = clamp (d, -delta, delta) / elements * scale */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include <qatkit/loss.h>

#include "pairs/pairs.h"

struct huber {
  double delta;
};

static int
huber_create (const struct qk_config *cfg, void **self)
{
  struct huber *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("huber");
  l->delta = qk_config_float (cfg, "delta");
  *self = l;
  return 0;
}

static void
huber_destroy (void *self)
{
  free (self);
}

static int
huber_check (void *self, const struct qk_tensor_spec *out, int n_out,
             const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self;
  return pairs_check_equal ("huber", out, n_out, ref, n_ref);
}

static int
huber_forward (void *self, const struct qk_loss_io *io, double *loss)
{
  const double delta = ((const struct huber *) self)->delta;

  *loss = 0;
  for (int k = 0; k < io->n_out; k++) {
    const int64_t n = qk_shape_count (&io->out[k].shape);
    const float *y = io->out[k].data, *t = io->ref[k].data;
    double sum = 0;

    for (int64_t i = 0; i < n; i++) {
      const double d = fabs ((double) y[i] - (double) t[i]);

      sum += d <= delta ? 0.5 * d * d : delta * (d - 0.5 * delta);
    }
    *loss += sum / (double) n;
  }
  return isfinite (*loss) ? 0
                          : qk_error (-EDOM, "huber: the loss is not finite");
}

static int
huber_backward (void *self, const struct qk_loss_io *io)
{
  const double delta = ((const struct huber *) self)->delta;

  for (int k = 0; k < io->n_out; k++) {
    const int64_t n = qk_shape_count (&io->out[k].shape);
    const float *y = io->out[k].data, *t = io->ref[k].data;
    float *dy = io->dout[k].data;

    for (int64_t i = 0; dy != NULL && i < n; i++) {
      const double d = (double) y[i] - (double) t[i];
      const double g = d > delta ? delta : d < -delta ? -delta : d;

      dy[i] = (float) (g * io->scale / (double) n);
    }
  }
  return 0;
}

static const struct qk_option options[]
  = { { .name = "delta",
        .type = QK_OPT_FLOAT,
        .def = "1",
        .min = 1e-6,
        .max = 1e6,
        .help = "Distance from the target up to which the error is squared" },
      { .name = NULL } };

static const struct qk_loss_class huber = {
  .cls
  = QK_CLASS (struct qk_loss_class, QK_KIND_LOSS, "huber",
              "Squared error near the target, absolute far from it", options),
  .create = huber_create,
  .destroy = huber_destroy,
  .check = huber_check,
  .forward = huber_forward,
  .backward = huber_backward,
};

QK_PLUGIN ("huber", PACKAGE_VERSION, "LGPL-2.1-or-later", &huber.cls);
