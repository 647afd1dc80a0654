/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: Huber's loss, which large errors do not dominate.
 *
 * y, t f32 of one shape, e = y - t: the mean over all elements of
 *   e^2 / 2             where |e| <= delta,
 *   delta (|e| - delta / 2)  elsewhere
 * dy = clamp (e, -delta, delta) / elements
 *
 *   [loss]
 *   name = ./NAME.so
 *   delta = 0.5 */
#include <math.h>
#include <stdlib.h>

#include <qatkit/loss.h>

struct NAME {
  double delta;
};

static const struct qk_option NAME_options[]
  = { { "delta", QK_OPT_FLOAT, "1", 1e-6, 1e6, NULL,
        "Error from which on the loss is linear" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

/* When a configuration is read, once for each section [loss].  weight, output,
 * target and during of the section are the library's affair. */
static int
NAME_create (const struct qk_config *cfg, void **self)
{
  struct NAME *l = malloc (sizeof *l);

  if (l == NULL)
    return qk_oom ("NAME");
  l->delta = qk_config_float (cfg, "delta");
  *self = l;
  return 0;
}

static void
NAME_destroy (void *self)
{
  free (self);
}

/* Once, before forward: can such outputs be compared with such references?
 * OUT are the outputs that the section names, REF its targets (with .reference
 * = QK_REFERENCE_TEACHER below: the same outputs of the float network). */
static int
NAME_check (void *self, const struct qk_tensor_spec *out, int n_out,
            const struct qk_tensor_spec *ref, int n_ref)
{
  char a[160], b[160];

  (void) self;
  if (n_out != 1 || n_ref != 1)
    return qk_error (-EINVAL,
                     "NAME: %d outputs and %d references, expected one of "
                     "each",
                     n_out, n_ref);
  if (ref->dtype != QK_F32 || !qk_shape_equal (&out->shape, &ref->shape))
    return qk_error (-EINVAL, "NAME: output %s, target %s, expected the same",
                     qk_spec_print (out, a, sizeof a),
                     qk_spec_print (ref, b, sizeof b));
  return 0;
}

/* Each training batch: the mean over its samples.  Everything in IO is
 * borrowed for the call.  What backward needs from here goes into io->saved,
 * whose size the optional slot "saved" tells; this loss needs nothing. */
static int
NAME_forward (void *self, const struct qk_loss_io *io, double *loss)
{
  const struct NAME *l = self;
  const int64_t n = qk_shape_count (&io->out->shape);
  const float *y = io->out->data, *t = io->ref->data;
  double sum = 0;

  for (int64_t i = 0; i < n; i++) {
    const double e = fabs ((double) y[i] - (double) t[i]);

    sum += e <= l->delta ? e * e / 2 : l->delta * (e - l->delta / 2);
  }
  *loss = sum / (double) n;
  return isfinite (*loss) ? 0 : qk_error (-EDOM, "NAME: not finite");
}

/* Each training batch, after forward: dout = scale * d loss / d out.  The scale
 * has the weight of the section in it, and the share of a process that trains
 * together with others. */
static int
NAME_backward (void *self, const struct qk_loss_io *io)
{
  const struct NAME *l = self;
  const int64_t n = qk_shape_count (&io->out->shape);
  const float *y = io->out->data, *t = io->ref->data;
  float *dy = io->dout->data;

  for (int64_t i = 0; dy != NULL && i < n; i++) {
    const double e = (double) y[i] - (double) t[i];

    dy[i] = (float) (fmax (-l->delta, fmin (l->delta, e)) * io->scale
                     / (double) n);
  }
  return 0;
}

/* QK_CLASS_DEFAULT instead of QK_CLASS would let the library take this loss
 * where none is named and check accepts the data. */
static const struct qk_loss_class NAME_class = {
  .cls
  = QK_CLASS (struct qk_loss_class, QK_KIND_LOSS, "NAME",
              "Huber's loss: squared errors, large ones linear", NAME_options),
  .reference = QK_REFERENCE_TARGETS,
  .create = NAME_create,
  .destroy = NAME_destroy,
  .check = NAME_check,
  .forward = NAME_forward,
  .backward = NAME_backward,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
