/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fake_quantize: numbers on the grid that a network's file says, as
 * QuantizeLinear and DequantizeLinear put them there.
 *
 * x of any shape -> y = s (clamp (rne (x / s) + z, qmin, qmax) - z); dx = dy
 * where nothing was clamped, 0 elsewhere.  In networks that are quantized the
 * grid becomes that of the tensor that is its input; where this node remains,
 * because others read the input as it is, it puts it on the grid of its own
 * output. */
#include "config.h"

#include <stdlib.h>

#include <qatkit/layer.h>
#include <qatkit/numeric.h>

struct layer {
  struct qk_qparams q;
  bool keeps;
};

static int
fake_quantize_create (const struct qk_config *cfg, void **self)
{
  struct layer *l = calloc (1, sizeof *l);
  int r = 0;

  if (l == NULL)
    return qk_oom ("fake_quantize");
  l->q.scale = (float) qk_config_float (cfg, "scale");
  l->q.zero_point = (int32_t) qk_config_int (cfg, "zero_point");
  l->q.qmin = (int32_t) qk_config_int (cfg, "qmin");
  l->q.qmax = (int32_t) qk_config_int (cfg, "qmax");
  l->keeps = qk_config_bool (cfg, "keep");
  if (!isfinite (1.0f / l->q.scale) || !isfinite (l->q.scale))
    r = qk_error (-EINVAL, "fake_quantize: scale is %g, which has no inverse",
                  (double) l->q.scale);
  else if (l->q.qmin >= l->q.qmax || l->q.zero_point < l->q.qmin
           || l->q.zero_point > l->q.qmax)
    r = qk_error (-EINVAL,
                  "fake_quantize: zero_point is %d, expected one in qmin %d "
                  "to qmax %d",
                  (int) l->q.zero_point, (int) l->q.qmin, (int) l->q.qmax);
  if (r < 0) {
    free (l);
    return r;
  }
  *self = l;
  return 0;
}

static void
fake_quantize_destroy (void *self)
{
  free (self);
}

static int
fake_quantize_infer (void *self, const struct qk_shape *in, int n_in,
                     struct qk_shape *out)
{
  (void) self;
  if (n_in != 1)
    return qk_error (-EINVAL, "fake_quantize: takes 1 input, got %d", n_in);
  *out = in[0];
  return 0;
}

static void
fake_quantize_describe (void *self, struct qk_layer_traits *out)
{
  const struct layer *l = self;

  out->role = QK_ROLE_GRID;
  out->grid = l->q;
  out->keeps = l->keeps;
}

/* workspace: a quantized input as real numbers */
static int
fake_quantize_setup (void *self, struct qk_layer_setup *s)
{
  (void) self;
  s->keep_out = false;
  if (s->quantized_in)
    s->workspace = sizeof (float) * (size_t) qk_shape_count (&s->in[0]);
  return 0;
}

/* The input as real numbers. */
static const float *
numbers (const struct qk_layer_io *io)
{
  const struct qk_tensor *in = &io->in[0];
  const int64_t n = qk_shape_count (&in->shape);
  const int threads = io->threads > 1 ? io->threads : 1;
  const uint8_t *q = in->data;
  float *x = io->workspace;

  (void) threads;
  if (in->dtype == QK_F32)
    return in->data;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t i = 0; i < n; i++)
    x[i] = qk_dequantize (q[i], in->q.scale, in->q.zero_point);
  return x;
}

/* X on the grid of the output, which a quantizer may choose. */
static int
put_on_grid (const float *x, int64_t n, struct qk_layer_io *io)
{
  struct qk_qparams *q = &io->out->q;
  uint8_t *y = io->out->data;
  int r;

  if (io->out_qz != NULL) {
    if ((r = qk_quantizer_observe (io->out_qz, x, (size_t) n)) < 0)
      return r;
    *q = *qk_quantizer_qparams (io->out_qz);
    return qk_quantizer_forward_u8 (io->out_qz, x, (size_t) n, y);
  }
  if (!(q->scale > 0.0f))
    return qk_error (-EINVAL, "fake_quantize: the u8 output has no grid");
  for (int64_t i = 0; i < n; i++)
    y[i] = (uint8_t) qk_quantize (x[i], 1.0f / q->scale, q->zero_point,
                                  q->qmin, q->qmax);
  return 0;
}

static int
fake_quantize_forward (void *self, struct qk_layer_io *io)
{
  const struct layer *l = self;
  const int64_t n = qk_shape_count (&io->in[0].shape);
  const int threads = io->threads > 1 ? io->threads : 1;
  const float *x = numbers (io), inv = 1.0f / l->q.scale;
  const struct qk_qparams q = l->q;
  float *y = io->out->data;

  (void) threads;
  if (io->out->dtype == QK_U8)
    return put_on_grid (x, n, io);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t i = 0; i < n; i++)
    y[i]
      = qk_dequantize (qk_quantize (x[i], inv, q.zero_point, q.qmin, q.qmax),
                       q.scale, q.zero_point);
  return 0;
}

static int
fake_quantize_backward (void *self, struct qk_layer_io *io)
{
  const struct layer *l = self;
  const int64_t n = qk_shape_count (&io->dout->shape);
  const int threads = io->threads > 1 ? io->threads : 1;
  const float *x, *dy = io->dout->data, inv = 1.0f / l->q.scale;
  const struct qk_qparams q = l->q;
  float *dx = io->din[0].data;

  (void) threads;
  if (dx == NULL && io->out_qz == NULL)
    return 0;
  x = numbers (io);
  if (io->out_qz != NULL) /* a learning one, whose input needs no gradient,
                             takes its own in place */
    return qk_quantizer_backward (io->out_qz, x, dy,
                                  dx != NULL ? dx : (float *) io->dout->data,
                                  (size_t) n);
#pragma omp parallel for simd schedule(static) num_threads(threads)
  for (int64_t i = 0; i < n; i++)
    dx[i] = dy[i] * qk_ste_mask (x[i], inv, q.zero_point, q.qmin, q.qmax);
  return 0;
}

static int
fake_quantize_lower (void *self, const struct qk_layer_io *io,
                     struct qk_op *op)
{
  (void) self;
  op->kind = QK_OP_REQUANTIZE;
  op->lo = io->out->q.qmin;
  op->hi = io->out->q.qmax;
  return 0;
}

static const struct qk_option options[]
  = { { "scale", QK_OPT_FLOAT, NULL, 1e-38, 1e38, NULL,
        "Step between neighbouring numbers of the grid." },
      { "zero_point", QK_OPT_INT, "0", 0, 255, NULL,
        "Integer that stands for 0." },
      { "qmin", QK_OPT_INT, "0", 0, 255, NULL, "The smallest integer." },
      { "qmax", QK_OPT_INT, "255", 0, 255, NULL, "The largest integer." },
      { "keep", QK_OPT_BOOL, "yes", 0, 0, NULL,
        "Whether quantization keeps the grid; no = it begins with it." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static const struct qk_layer_class fake_quantize = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "fake_quantize",
                   "Rounds to the grid that a network's file says", options),
  .create = fake_quantize_create,
  .destroy = fake_quantize_destroy,
  .infer = fake_quantize_infer,
  .describe = fake_quantize_describe,
  .setup = fake_quantize_setup,
  .forward = fake_quantize_forward,
  .backward = fake_quantize_backward,
  .quantized = true,
  .lower = fake_quantize_lower,
  .geometry = fake_quantize_lower,
};

QK_PLUGIN ("fake_quantize", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &fake_quantize.cls);
