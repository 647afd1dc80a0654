/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dropout: in training set numbers to 0 at random (Srivastava et al. 2014,
 * https://jmlr.org/papers/v15/srivastava14a.html).
 *
 * x of any shape; training: y = 0 with probability p, else x / (1 - p);
 * dx likewise from dy.  Evaluation: y = x.
 * On u8 a dropped number is the integer zero_point and the grid's scale
 * becomes scale / (1 - p): no number is rounded.  So does that of real numbers
 * on a grid. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/layer.h>

#include "multiversion.h"

/* Random numbers at a time. */
enum { PIECE = 512 };

struct dropout {
  float p;
};

static int
dropout_create (const struct qk_config *cfg, void **self)
{
  struct dropout *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("dropout");
  l->p = (float) qk_config_float (cfg, "p");
  *self = l;
  return 0;
}

static void
dropout_destroy (void *self)
{
  free (self);
}

static int
dropout_infer (void *self, const struct qk_shape *in, int n_in,
               struct qk_shape *out)
{
  (void) self;
  if (n_in != 1)
    return qk_error (-EINVAL, "dropout: takes 1 input, got %d", n_in);
  *out = in[0];
  return 0;
}

static void
dropout_describe (void *self, struct qk_layer_traits *out)
{
  (void) self;
  out->role = QK_ROLE_SAME_GRID;
  out->wide = true;
}

/* saved: a byte an element, 1 where it was kept */
static int
dropout_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->keep_in = s->keep_out = false;
  if (s->train)
    s->saved = (size_t) qk_shape_count (s->in);
  return 0;
}

/* N numbers times K where they are kept, else 0. */
QK_LOOP (static, keep_f32,
         (const uint8_t *kept, const float *x, int64_t n, float k, float *y),
         (kept, x, n, k, y))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = kept[i] ? x[i] * k : 0.0f;
}

/* The same on a grid: ZERO is real 0. */
QK_LOOP (static, keep_u8,
         (const uint8_t *kept, const uint8_t *x, int64_t n, uint8_t zero,
          uint8_t *y),
         (kept, x, n, zero, y))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    y[i] = kept[i] ? x[i] : zero;
}

/* Random numbers from P on are kept. */
QK_LOOP (static, choose,
         (const float *restrict r, int64_t n, float p, uint8_t *restrict kept),
         (r, n, p, kept))
{
  QK_SIMD
  for (int64_t i = 0; i < n; i++)
    kept[i] = r[i] >= p;
}

/* SKIP numbers belong to other processes' samples. */
static void
dropout_draw (const struct dropout *l, struct qk_rng *rng, int64_t skip,
              uint8_t *kept, int64_t n)
{
  float r[PIECE];

  for (int64_t i = 0; i < skip; i += PIECE)
    qk_rng_floats (rng, r, (size_t) (skip - i < PIECE ? skip - i : PIECE));
  for (int64_t i = 0; i < n; i += PIECE) {
    const int64_t some = n - i < PIECE ? n - i : PIECE;

    qk_rng_floats (rng, r, (size_t) some);
    choose (r, some, l->p, kept + i);
  }
}

static int
dropout_forward (void *self, struct qk_layer_io *io)
{
  const struct dropout *l = self;
  const struct qk_tensor *in = &io->in[0];
  struct qk_tensor *out = io->out;
  const int64_t n = qk_shape_count (&in->shape);

  if (in->dtype != out->dtype || (in->dtype != QK_U8 && in->dtype != QK_F32))
    return qk_error (-ENOTSUP, "dropout: cannot go from %s to %s",
                     qk_dtype_name (in->dtype), qk_dtype_name (out->dtype));
  out->q = in->q;
  if ((io->flags & QK_PASS_TRAIN) == 0) {
    memcpy (out->data, in->data, (size_t) n * qk_dtype_size (in->dtype));
    return 0;
  }
  dropout_draw (l, io->rng, n / in->shape.dims[0] * io->first_sample,
                io->saved, n);
  out->q.scale = in->q.scale / (1.0f - l->p);
  if (in->dtype == QK_U8)
    keep_u8 (io->saved, in->data, n, (uint8_t) in->q.zero_point, out->data);
  else
    keep_f32 (io->saved, in->data, n, 1.0f / (1.0f - l->p), out->data);
  return 0;
}

static int
dropout_backward (void *self, struct qk_layer_io *io)
{
  const struct dropout *l = self;
  const int64_t n = qk_shape_count (&io->dout->shape);
  const float *dy = io->dout->data, k = 1.0f / (1.0f - l->p);
  float *dx = io->din[0].data;

  if (dx == NULL)
    return 0;
  if ((io->flags & QK_PASS_TRAIN) == 0) {
    memcpy (dx, dy, (size_t) n * sizeof *dx);
    return 0;
  }
  keep_f32 (io->saved, dy, n, k, dx);
  return 0;
}

/* In the int8 network nothing is dropped. */
static int
dropout_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  (void) self;
  op->kind = QK_OP_RESHAPE;
  op->lo = io->in[0].q.qmin;
  op->hi = io->in[0].q.qmax;
  return 0;
}

static const struct qk_option options[]
  = { { .name = "p",
        .type = QK_OPT_FLOAT,
        .def = "0.5",
        .min = 0,
        .max = 0.99,
        .help = "Probability that a number is dropped in training." },
      { .name = NULL } };

static const struct qk_layer_class dropout = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "dropout",
                   "Set numbers to 0 at random in training", options),
  .create = dropout_create,
  .destroy = dropout_destroy,
  .infer = dropout_infer,
  .describe = dropout_describe,
  .setup = dropout_setup,
  .forward = dropout_forward,
  .backward = dropout_backward,
  .quantized = true,
  .lower = dropout_lower,
  .geometry = dropout_lower,
};

QK_PLUGIN ("dropout", PACKAGE_VERSION, "LGPL-2.1-or-later", &dropout.cls);
