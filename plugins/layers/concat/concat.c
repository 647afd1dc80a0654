/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* concat: tensors side by side along the last axis.
 *
 * x_i (N,...,C_i) -> y (N,...,sum C_i); dx_i is its part of dy.
 * Quantization is the library's matter: the int8 formula (qk_regrid) is
 * dequantizing each input and qk_quantize. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/layer.h>

/* No state, but an instance must be something. */
struct concat {
  int n_in;
};

static int
concat_create (const struct qk_config *cfg, void **self)
{
  struct concat *l = calloc (1, sizeof *l);

  (void) cfg;
  if (l == NULL)
    return qk_oom ("concat");
  *self = l;
  return 0;
}

static void
concat_destroy (void *self)
{
  free (self);
}

static int
concat_infer (void *self, const struct qk_shape *in, int n_in,
              struct qk_shape *out)
{
  struct concat *l = self;
  const int last = in[0].ndim - 1;
  char a[80], b[80];

  if (n_in < 2 || n_in > QK_OP_MAX_INPUTS)
    return qk_error (-EINVAL, "concat: takes 2 to %d inputs, got %d",
                     QK_OP_MAX_INPUTS, n_in);
  if (last < 1)
    return qk_error (-EINVAL, "concat: inputs need 2 axes or more, got %s",
                     qk_shape_print (&in[0], a, sizeof a));
  *out = in[0];
  for (int i = 1; i < n_in; i++) {
    struct qk_shape same = in[i];

    if (same.ndim == in[0].ndim)
      same.dims[last] = in[0].dims[last];
    if (!qk_shape_equal (&same, &in[0]))
      return qk_error (-EINVAL,
                       "concat: input %d must be like input 0 but for the "
                       "last axis, got %s and %s",
                       i, qk_shape_print (&in[i], a, sizeof a),
                       qk_shape_print (&in[0], b, sizeof b));
    out->dims[last] += in[i].dims[last];
  }
  l->n_in = n_in;
  return 0;
}

static int
concat_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->keep_in = s->keep_out = false;
  return 0;
}

/* Copy between PART (rows of N numbers) and its columns of WHOLE (rows of
 * WIDTH), starting at column FIRST. */
static void
concat_copy (float *part, int64_t n, float *whole, int64_t width,
             int64_t first, int64_t rows, bool gather, int threads)
{
  (void) threads;
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (rows * n >= 32768)
  for (int64_t r = 0; r < rows; r++) {
    float *a = part + r * n, *b = whole + r * width + first;

    if (gather)
      memcpy (b, a, (size_t) n * sizeof *a);
    else
      memcpy (a, b, (size_t) n * sizeof *a);
  }
}

/* One walk serves both ways: in[] to out, dout to din[]. */
static int
concat_walk (const struct qk_tensor *part, int n, const struct qk_tensor *all,
             bool gather, int threads)
{
  const int last = all->shape.ndim - 1;
  const int64_t width = all->shape.dims[last];
  const int64_t rows = qk_shape_count (&all->shape) / width;
  int64_t first = 0;

  for (int i = 0; i < n; i++) {
    const int64_t c = part[i].shape.dims[last];

    if (part[i].data != NULL)
      concat_copy (part[i].data, c, all->data, width, first, rows, gather,
                   threads > 1 ? threads : 1);
    first += c;
  }
  return 0;
}

static int
concat_forward (void *self, struct qk_layer_io *io)
{
  (void) self;
  return concat_walk (io->in, io->n_in, io->out, true, io->threads);
}

static int
concat_backward (void *self, struct qk_layer_io *io)
{
  (void) self;
  return concat_walk (io->din, io->n_in, io->dout, false, io->threads);
}

static int
concat_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  (void) self;
  op->kind = QK_OP_CONCAT;
  op->lo = io->out->q.qmin;
  op->hi = io->out->q.qmax;
  return 0;
}

static const struct qk_layer_class concat = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "concat",
                   "Tensors side by side along the last axis", NULL),
  .create = concat_create,
  .destroy = concat_destroy,
  .infer = concat_infer,
  .setup = concat_setup,
  .forward = concat_forward,
  .backward = concat_backward,
  .lower = concat_lower,
  .geometry = concat_lower,
};

QK_PLUGIN ("concat", PACKAGE_VERSION, "LGPL-2.1-or-later", &concat.cls);
