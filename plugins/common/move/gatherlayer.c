/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gatherlayer.c: layers whose output consists of elements of their input; see
 * gatherlayer.h. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "gatherlayer.h"

/* Places of a sample's axis, which are numbers of 32 bits. */
#define MAX_SIZE ((int64_t) 1 << 30)
/* Places of all axes, before memory is spent on them. */
#define MAX_PLACES ((int64_t) 1 << 24)

void
gatherlayer_clear (struct gatherlayer *l)
{
  gather_clear (&l->plan);
  free (l->place);
  l->place = NULL;
}

void
gatherlayer_destroy (void *self)
{
  if (self != NULL)
    gatherlayer_clear (self);
  free (self);
}

/* The output's shape, and how many places there are. */
static int
infer_shape (struct gatherlayer *l, const struct qk_shape *in,
             struct qk_shape *out)
{
  const char *name = l->kind->name;
  char a[96];

  *out = *in;
  l->n_places = 0;
  for (int d = 1; d < in->ndim; d++) {
    out->dims[d] = in->dims[d] > MAX_SIZE ? MAX_SIZE + 1
                                          : l->kind->size (l, d, in->dims[d]);
    if (out->dims[d] < 1)
      return qk_error (-EINVAL, "%s: nothing is left of axis %d of %s", name,
                       d, qk_shape_print (in, a, sizeof a));
    if (out->dims[d] > MAX_PLACES || (l->n_places += out->dims[d]) > MAX_PLACES
        || qk_shape_count (out) < 0)
      return qk_error (-EINVAL, "%s: the output %s is too large", name,
                       qk_shape_print (out, a, sizeof a));
  }
  return 0;
}

int
gatherlayer_infer (void *self, const struct qk_shape *in, int n_in,
                   struct qk_shape *out)
{
  struct gatherlayer *l = self;
  int32_t *place;
  int r;

  if (n_in != 1)
    return qk_error (-EINVAL, "%s: takes 1 input, got %d", l->kind->name,
                     n_in);
  if ((l->kind->check != NULL && (r = l->kind->check (l, in)) < 0)
      || (r = infer_shape (l, in, out)) < 0)
    return r;
  gatherlayer_clear (l);
  place = malloc ((size_t) (l->n_places + 1) * sizeof *place);
  if (place == NULL)
    return qk_oom ("%s", l->kind->name);
  l->place = place;
  for (int d = 1; d < in->ndim; d++) {
    l->kind->places (l, d, in->dims[d], out->dims[d], place);
    place += out->dims[d];
  }
  return gather_plan (l->kind->name, l->place, in, out, &l->plan);
}

void
gatherlayer_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->role = QK_ROLE_SAME_GRID;
  out->wide = true;
}

int
gatherlayer_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->keep_in = s->keep_out = false;
  return 0;
}

static int
fill_of (const struct gatherlayer *l, const struct qk_qparams *q)
{
  return qk_quantize (l->fill, 1.0f / q->scale, q->zero_point, q->qmin,
                      q->qmax);
}

int
gatherlayer_forward (void *self, struct qk_layer_io *io)
{
  const struct gatherlayer *l = self;
  const struct qk_tensor *in = &io->in[0];
  const bool bytes = in->dtype == QK_U8;
  const uint8_t fill = bytes ? (uint8_t) fill_of (l, &in->q) : 0;

  if (in->dtype != io->out->dtype || (!bytes && in->dtype != QK_F32))
    return qk_error (-ENOTSUP, "%s: cannot go from %s to %s", l->kind->name,
                     qk_dtype_name (in->dtype),
                     qk_dtype_name (io->out->dtype));
  io->out->q = in->q;
  gather_copy (&l->plan, in->shape.dims[0], in->data, io->out->data,
               qk_dtype_size (in->dtype),
               bytes ? (const void *) &fill : &l->fill, io->threads);
  return 0;
}

int
gatherlayer_backward (void *self, struct qk_layer_io *io)
{
  const struct gatherlayer *l = self;

  if (io->din[0].data != NULL)
    gather_add (&l->plan, io->dout->shape.dims[0], io->dout->data,
                io->din[0].data, io->threads);
  return 0;
}

int
gatherlayer_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct gatherlayer *l = self;
  const size_t size = (size_t) l->n_places * sizeof *l->place;
  int32_t *place = qk_alloc (size);

  if (place == NULL)
    return qk_oom ("%s", l->kind->name);
  memcpy (place, l->place, size);
  op->kind = QK_OP_GATHER;
  op->place = place;
  op->places = l->n_places;
  op->fill = fill_of (l, &io->in[0].q);
  op->lo = io->in[0].q.qmin;
  op->hi = io->in[0].q.qmax;
  return 0;
}
