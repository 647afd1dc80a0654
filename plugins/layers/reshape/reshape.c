/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reshape: x (N,…) -> y (N,shape), the same numbers in the same order.
 * Channels last: where PyTorch's x has its channels first, the order of what
 * it calls the same reshape is another. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/layer.h>

#include "intlist/intlist.h"

struct reshape {
  int n;
  int64_t dims[QK_MAX_DIMS]; /* of a sample; -1: what is left */
};

static int
check_dims (const int64_t *dims, int n)
{
  int open = 0;

  for (int i = 0; i < n; i++) {
    open += dims[i] == -1;
    if (dims[i] == 0 || dims[i] < -1 || open > 1)
      return qk_error (-EINVAL,
                       "reshape: dimension %d of shape is %lld, expected 1 "
                       "or more, or -1 once",
                       i, (long long) dims[i]);
  }
  return 0;
}

static int
reshape_create (const struct qk_config *cfg, void **self)
{
  struct reshape *l = calloc (1, sizeof *l);
  int r;

  if (l == NULL)
    return qk_oom ("reshape");
  r = l->n = intlist_read ("reshape", cfg, "shape", l->dims, QK_MAX_DIMS - 1);
  if (r < 0 || (r = check_dims (l->dims, l->n)) < 0) {
    free (l);
    return r;
  }
  *self = l;
  return 0;
}

static void
reshape_destroy (void *self)
{
  free (self);
}

static int
reshape_infer (void *self, const struct qk_shape *in, int n_in,
               struct qk_shape *out)
{
  const struct reshape *l = self;
  int64_t sample = 1, left;
  char a[96];

  if (n_in != 1)
    return qk_error (-EINVAL, "reshape: takes 1 input, got %d", n_in);
  for (int i = 1; i < in->ndim; i++)
    sample *= in->dims[i];
  left = sample;
  for (int i = 0; i < l->n; i++)
    left = l->dims[i] == -1         ? left
           : left % l->dims[i] == 0 ? left / l->dims[i]
                                    : 0;
  *out = (struct qk_shape){ l->n + 1, { in->dims[0] } };
  for (int i = 0; i < l->n; i++) {
    out->dims[i + 1] = l->dims[i] == -1 ? left : l->dims[i];
    if (l->dims[i] == -1)
      left = 1;
  }
  if (left != 1 || qk_shape_count (out) != qk_shape_count (in))
    return qk_error (-EINVAL,
                     "reshape: the %lld elements of a sample of %s do not "
                     "fill the shape",
                     (long long) sample, qk_shape_print (in, a, sizeof a));
  return 0;
}

static void
reshape_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->role = QK_ROLE_SAME_GRID;
  out->wide = true;
}

static int
reshape_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->keep_in = s->keep_out = false;
  return 0;
}

static int
reshape_forward (void *self, struct qk_layer_io *io)
{
  const struct qk_tensor *in = &io->in[0];

  (void) self;
  if (in->dtype != io->out->dtype)
    return qk_error (-ENOTSUP, "reshape: cannot go from %s to %s",
                     qk_dtype_name (in->dtype),
                     qk_dtype_name (io->out->dtype));
  io->out->q = in->q;
  memcpy (io->out->data, in->data,
          (size_t) qk_shape_count (&in->shape) * qk_dtype_size (in->dtype));
  return 0;
}

static int
reshape_backward (void *self, struct qk_layer_io *io)
{
  (void) self;
  if (io->din[0].data != NULL)
    memcpy (io->din[0].data, io->dout->data,
            (size_t) qk_shape_count (&io->dout->shape) * sizeof (float));
  return 0;
}

static int
reshape_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  (void) self;
  op->kind = QK_OP_RESHAPE;
  op->lo = io->in[0].q.qmin;
  op->hi = io->in[0].q.qmax;
  return 0;
}

static const struct qk_option options[]
  = { { .name = "shape",
        .type = QK_OPT_STRING,
        .help = "Dimensions of a sample without the batch, \"7,7,64\"; one "
                "may be -1: what is left." },
      { .name = NULL } };

static const struct qk_layer_class reshape = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "reshape",
                   "Samples of another shape, in the same order", options),
  .create = reshape_create,
  .destroy = reshape_destroy,
  .infer = reshape_infer,
  .describe = reshape_describe,
  .setup = reshape_setup,
  .forward = reshape_forward,
  .backward = reshape_backward,
  .quantized = true,
  .lower = reshape_lower,
  .geometry = reshape_lower,
};

QK_PLUGIN ("reshape", PACKAGE_VERSION, "LGPL-2.1-or-later", &reshape.cls);
