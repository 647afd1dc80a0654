/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* flatten: x (N,H,W,C) -> y (N,H W C), the same numbers in the same order.
 * Channels last: PyTorch's flatten of the same sample has C outermost, so
 * weights of a following linear layer need their columns reordered. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/layer.h>

/* No state, but an instance must be something. */
struct flatten {
  int64_t features;
};

static int
flatten_create (const struct qk_config *cfg, void **self)
{
  struct flatten *l = calloc (1, sizeof *l);

  (void) cfg;
  if (l == NULL)
    return qk_oom ("flatten");
  *self = l;
  return 0;
}

static void
flatten_destroy (void *self)
{
  free (self);
}

static int
flatten_infer (void *self, const struct qk_shape *in, int n_in,
               struct qk_shape *out)
{
  struct flatten *l = self;
  char buf[80];

  if (n_in != 1)
    return qk_error (-EINVAL, "flatten: takes 1 input, got %d", n_in);
  if (in->ndim < 2)
    return qk_error (-EINVAL, "flatten: input needs 2 axes or more, got %s",
                     qk_shape_print (in, buf, sizeof buf));
  l->features = 1;
  for (int i = 1; i < in->ndim; i++)
    l->features *= in->dims[i];
  *out = (struct qk_shape){ 2, { in->dims[0], l->features } };
  return 0;
}

static void
flatten_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->role = QK_ROLE_SAME_GRID;
  out->wide = true;
}

static int
flatten_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->keep_in = s->keep_out = false;
  return 0;
}

static int
flatten_forward (void *self, struct qk_layer_io *io)
{
  const struct qk_tensor *in = &io->in[0];

  (void) self;
  if (in->dtype != io->out->dtype)
    return qk_error (-ENOTSUP, "flatten: cannot go from %s to %s",
                     qk_dtype_name (in->dtype),
                     qk_dtype_name (io->out->dtype));
  io->out->q = in->q;
  memcpy (io->out->data, in->data,
          (size_t) qk_shape_count (&in->shape) * qk_dtype_size (in->dtype));
  return 0;
}

static int
flatten_backward (void *self, struct qk_layer_io *io)
{
  (void) self;
  if (io->din[0].data != NULL)
    memcpy (io->din[0].data, io->dout->data,
            (size_t) qk_shape_count (&io->dout->shape) * sizeof (float));
  return 0;
}

static int
flatten_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  (void) self;
  op->kind = QK_OP_RESHAPE;
  op->lo = io->in[0].q.qmin;
  op->hi = io->in[0].q.qmax;
  return 0;
}

static const struct qk_layer_class flatten = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "flatten",
                   "Samples (N,H,W,C) as vectors (N,HWC)", NULL),
  .create = flatten_create,
  .destroy = flatten_destroy,
  .infer = flatten_infer,
  .describe = flatten_describe,
  .setup = flatten_setup,
  .forward = flatten_forward,
  .backward = flatten_backward,
  .quantized = true,
  .lower = flatten_lower,
  .geometry = flatten_lower,
};

QK_PLUGIN ("flatten", PACKAGE_VERSION, "LGPL-2.1-or-later", &flatten.cls);
