/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mae: mean absolute error, as PyTorch's nn.L1Loss.
 *
 * y, t f32 of one shape: the mean over all elements of |y - t|; of several
 * outputs the sum of their means.  dy = sign (y - t) / elements * scale */
#include "config.h"

#include <math.h>

#include <qatkit/loss.h>

#include "pairs/pairs.h"

static int
mae_check (void *self, const struct qk_tensor_spec *out, int n_out,
           const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self;
  return pairs_check_equal ("mae", out, n_out, ref, n_ref);
}

static int
mae_forward (void *self, const struct qk_loss_io *io, double *loss)
{
  (void) self;
  *loss = 0;
  for (int k = 0; k < io->n_out; k++) {
    const int64_t n = qk_shape_count (&io->out[k].shape);
    const float *y = io->out[k].data, *t = io->ref[k].data;
    double sum = 0;

    for (int64_t i = 0; i < n; i++) {
      const double d = (double) y[i] - (double) t[i];

      sum += fabs (d);
    }
    *loss += sum / (double) n;
  }
  return isfinite (*loss) ? 0
                          : qk_error (-EDOM, "mae: the loss is not finite");
}

static int
mae_backward (void *self, const struct qk_loss_io *io)
{
  (void) self;
  for (int k = 0; k < io->n_out; k++) {
    const int64_t n = qk_shape_count (&io->out[k].shape);
    const float *y = io->out[k].data, *t = io->ref[k].data;
    float *dy = io->dout[k].data;

    for (int64_t i = 0; dy != NULL && i < n; i++) {
      const double d = (double) y[i] - (double) t[i];

      dy[i] = (float) (((d > 0) - (d < 0)) * io->scale / (double) n);
    }
  }
  return 0;
}

static const struct qk_loss_class mae = {
  .cls = QK_CLASS_DEFAULT (struct qk_loss_class, QK_KIND_LOSS, "mae",
                           "Mean absolute error of outputs and targets", NULL,
                           10, 0, ""),
  .check = mae_check,
  .forward = mae_forward,
  .backward = mae_backward,
};

QK_PLUGIN ("mae", PACKAGE_VERSION, "LGPL-2.1-or-later", &mae.cls);
