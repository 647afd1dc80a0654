/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* transposelayer.c: layers that put elements in another order; see
 * transposelayer.h. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "transposelayer.h"

int
transposelayer_set (struct transposelayer *l, int n, const int64_t *size,
                    const int *order)
{
  l->axes = n;
  for (int i = 0; i < n; i++) {
    if (size[i] > INT32_MAX)
      return qk_error (-EINVAL,
                       "%s: an axis of %lld elements, expected %d at "
                       "most",
                       l->name, (long long) size[i], INT32_MAX);
    l->order[2 * i] = (int32_t) size[i];
    l->order[2 * i + 1] = order[i];
  }
  transpose_plan (l->order, n, false, &l->plan);
  transpose_plan (l->order, n, true, &l->back);
  return 0;
}

void
transposelayer_destroy (void *self)
{
  free (self);
}

void
transposelayer_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->role = QK_ROLE_SAME_GRID;
  out->wide = true;
}

int
transposelayer_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->keep_in = s->keep_out = false;
  return 0;
}

int
transposelayer_forward (void *self, struct qk_layer_io *io)
{
  const struct transposelayer *l = self;
  const struct qk_tensor *in = &io->in[0];

  if (in->dtype != io->out->dtype)
    return qk_error (-ENOTSUP, "%s: cannot go from %s to %s", l->name,
                     qk_dtype_name (in->dtype),
                     qk_dtype_name (io->out->dtype));
  io->out->q = in->q;
  transpose_run (&l->plan, in->shape.dims[0], in->data, io->out->data,
                 qk_dtype_size (in->dtype), io->threads);
  return 0;
}

int
transposelayer_backward (void *self, struct qk_layer_io *io)
{
  const struct transposelayer *l = self;

  if (io->din[0].data != NULL)
    transpose_run (&l->back, io->dout->shape.dims[0], io->dout->data,
                   io->din[0].data, sizeof (float), io->threads);
  return 0;
}

int
transposelayer_lower (void *self, const struct qk_layer_io *io,
                      struct qk_op *op)
{
  const struct transposelayer *l = self;
  const size_t size = (size_t) l->axes * 2 * sizeof *l->order;
  int32_t *order = qk_alloc (size);

  if (order == NULL)
    return qk_oom ("%s", l->name);
  memcpy (order, l->order, size);
  op->kind = QK_OP_TRANSPOSE;
  op->axes = l->axes;
  op->order = order;
  op->lo = io->in[0].q.qmin;
  op->hi = io->in[0].q.qmax;
  return 0;
}
