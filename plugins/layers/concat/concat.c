/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* concat: tensors side by side along an axis, the last one unless another is
 * given.
 *
 * x_i (N,…,C_i,…) -> y (N,…,sum C_i,…); dx_i is its part of dy.
 * Quantization is the library's matter: the int8 formula (qk_regrid) is
 * dequantizing each input and qk_quantize. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/layer.h>

struct concat {
  int given; /* axis; -1: the last one */
  int axis;  /* from infer on */
};

static int
concat_create (const struct qk_config *cfg, void **self)
{
  struct concat *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("concat");
  l->given = (int) qk_config_int (cfg, "axis");
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
  const int axis = l->given < 0 ? in[0].ndim - 1 : l->given;
  char a[80], b[80];

  if (n_in < 2 || n_in > QK_OP_MAX_INPUTS)
    return qk_error (-EINVAL, "concat: takes 2 to %d inputs, got %d",
                     QK_OP_MAX_INPUTS, n_in);
  if (axis < 1 || axis >= in[0].ndim)
    return qk_error (
      -EINVAL, "concat: axis %d of inputs like %s, expected 1 to %d", axis,
      qk_shape_print (&in[0], a, sizeof a), in[0].ndim - 1);
  *out = in[0];
  for (int i = 1; i < n_in; i++) {
    struct qk_shape same = in[i];

    if (same.ndim == in[0].ndim)
      same.dims[axis] = in[0].dims[axis];
    if (!qk_shape_equal (&same, &in[0]))
      return qk_error (-EINVAL,
                       "concat: input %d must be like input 0 but for axis "
                       "%d, got %s and %s",
                       i, axis, qk_shape_print (&in[i], a, sizeof a),
                       qk_shape_print (&in[0], b, sizeof b));
    out->dims[axis] += in[i].dims[axis];
  }
  l->axis = axis;
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

/* Elements from axis AXIS on. */
static int64_t
row_of (const struct qk_shape *s, int axis)
{
  int64_t n = 1;

  for (int d = axis; d < s->ndim; d++)
    n *= s->dims[d];
  return n;
}

/* One walk serves both ways: in[] to out, dout to din[]. */
static int
concat_walk (const struct concat *l, const struct qk_tensor *part, int n,
             const struct qk_tensor *all, bool gather, int threads)
{
  const int64_t width = row_of (&all->shape, l->axis);
  const int64_t rows = qk_shape_count (&all->shape) / width;
  int64_t first = 0;

  for (int i = 0; i < n; i++) {
    const int64_t c = row_of (&part[i].shape, l->axis);

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
  return concat_walk (self, io->in, io->n_in, io->out, true, io->threads);
}

static int
concat_backward (void *self, struct qk_layer_io *io)
{
  return concat_walk (self, io->din, io->n_in, io->dout, false, io->threads);
}

static int
concat_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct concat *l = self;

  op->kind = QK_OP_CONCAT;
  op->axis = l->axis;
  op->lo = io->out->q.qmin;
  op->hi = io->out->q.qmax;
  return 0;
}

static const struct qk_option options[]
  = { { .name = "axis",
        .type = QK_OPT_INT,
        .def = "-1",
        .min = -1,
        .max = QK_MAX_DIMS - 1,
        .help = "Axis along which the inputs are joined, counted with the "
                "batch, which is 0; -1: the last one." },
      { .name = NULL } };

static const struct qk_layer_class concat = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "concat",
                   "Tensors side by side along an axis", options),
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
