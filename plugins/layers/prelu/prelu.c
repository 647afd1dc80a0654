/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* prelu: y = x for x > 0, weight[c] x else; He et al. 2015.
 *
 * x (N,…,C); weight (C) or, channels=no, (1) for all of them.
 * dx = dy for x > 0, weight[c] dy else; dweight[c] += sum of dy x over x <= 0.
 * Between quantized tensors it is qk_prelu_quantized, in training as in the
 * int8 network.
 *
 * Option: channels. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include <qatkit/layer.h>

#include "multiversion.h"

/* Fewer elements than this are not worth starting threads for. */
#define PARALLEL_MIN 16384

struct prelu {
  bool each; /* a weight for each channel */
  /* from infer */
  int64_t channels;
  /* from setup */
  int threads;
  bool transforms; /* the output's fake-quantizer has a gradient of its own */
};

static int
prelu_create (const struct qk_config *cfg, void **self)
{
  struct prelu *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("prelu");
  l->each = qk_config_bool (cfg, "channels");
  l->threads = 1;
  *self = l;
  return 0;
}

static void
prelu_destroy (void *self)
{
  free (self);
}

static int
prelu_infer (void *self, const struct qk_shape *in, int n_in,
             struct qk_shape *out)
{
  struct prelu *l = self;
  char buf[80];

  if (n_in != 1)
    return qk_error (-EINVAL, "prelu: takes 1 input, got %d", n_in);
  if (in->ndim < 2 || in->dims[in->ndim - 1] < 1)
    return qk_error (-EINVAL, "prelu: input must be (N,…,C), got %s",
                     qk_shape_print (in, buf, sizeof buf));
  l->channels = in->dims[in->ndim - 1];
  *out = *in;
  return 0;
}

static int
prelu_params (void *self, struct qk_param_spec *out)
{
  const struct prelu *l = self;

  out[0] = (struct qk_param_spec){
    .name = "weight",
    .shape = { 1, { l->each ? l->channels : 1 } },
    .flags = QK_PARAM_TRAINED | QK_PARAM_NO_DECAY,
    .init = QK_INIT_CONSTANT,
    .init_value = 0.25f,
  };
  return 1;
}

/* ---- memory ------------------------------------------------------------
 * workspace: floats for each channel, the weight and its multiplier; the sums
 * of each thread; and where the output has a quantizer, what it sees and its
 * gradient. */

static size_t
constants (const struct prelu *l)
{
  return ((size_t) l->channels * (2 * sizeof (float))
          + (size_t) l->channels * (size_t) l->threads * sizeof (double) + 63)
         & ~(size_t) 63;
}

static float *
slopes_at (const struct prelu *l, void *workspace)
{
  return (float *) (void *) ((double *) workspace + l->channels * l->threads);
}

static float *
results_at (const struct prelu *l, void *workspace)
{
  return (float *) (void *) ((char *) workspace + constants (l));
}

static int
prelu_setup (void *self, struct qk_layer_setup *s)
{
  struct prelu *l = self;
  const size_t n = (size_t) qk_shape_count (s->out);

  l->threads = s->threads > 1 ? s->threads : 1;
  l->transforms
    = s->quantized_out && !(s->out_qz && qk_quantizer_is_ste (s->out_qz));
  s->keep_out = false;
  s->workspace
    = constants (l) + (s->quantized_out ? 2 * n * sizeof (float) : 0);
  return 0;
}

/* The slope of each channel. */
static const float *
spread_slopes (const struct prelu *l, const struct qk_layer_io *io)
{
  const float *w = io->param[0].data;
  float *slope = slopes_at (l, io->workspace);

  for (int64_t c = 0; c < l->channels; c++)
    slope[c] = w[l->each ? c : 0];
  return slope;
}

/* ---- forward ----------------------------------------------------------- */

QK_LOOP (static, row_f32,
         (const float *restrict x, const float *restrict slope, int64_t n,
          float *restrict y),
         (x, slope, n, y))
{
  QK_SIMD
  for (int64_t c = 0; c < n; c++)
    y[c] = x[c] > 0.0f ? x[c] : slope[c] * x[c];
}

/* Real numbers of bytes: the integers times scale or scale times slope. */
QK_LOOP (static, row_real,
         (const uint8_t *restrict x, int32_t z, float scale,
          const float *restrict slope, int64_t n, float *restrict y),
         (x, z, scale, slope, n, y))
{
  QK_SIMD
  for (int64_t c = 0; c < n; c++)
    y[c] = (float) (x[c] - z) * (x[c] > z ? scale : scale * slope[c]);
}

QK_LOOP (static, row_u8,
         (const uint8_t *restrict x, int32_t z, float above,
          const float *restrict below, int64_t n, const struct qk_qparams *q,
          uint8_t *restrict y),
         (x, z, above, below, n, q, y))
{
  const int32_t zp = q->zero_point, lo = q->qmin, hi = q->qmax;

  QK_SIMD
  for (int64_t c = 0; c < n; c++)
    y[c] = (uint8_t) qk_prelu_quantized (x[c], z, above, below[c], zp, lo, hi);
}

static int64_t
rows_of (const struct prelu *l, const struct qk_layer_io *io)
{
  return qk_shape_count (&io->in[0].shape) / l->channels;
}

/* All results as floats. */
static void
pass_real (const struct prelu *l, const struct qk_layer_io *io,
           const float *slope, float *y)
{
  const struct qk_tensor *in = &io->in[0];
  const int64_t c = l->channels, rows = rows_of (l, io);
  const uint8_t *q = in->data;
  const float *x = in->data;

#pragma omp parallel for num_threads(l->threads)                              \
  schedule(static) if (rows * c >= PARALLEL_MIN)
  for (int64_t r = 0; r < rows; r++)
    if (in->dtype == QK_U8)
      row_real (q + r * c, in->q.zero_point, in->q.scale, slope, c, y + r * c);
    else
      row_f32 (x + r * c, slope, c, y + r * c);
}

/* All results on the grid Q: from bytes, or the floats Y. */
static void
pass_bytes (const struct prelu *l, const struct qk_layer_io *io,
            const float *slope, const float *y, const struct qk_qparams *q)
{
  const struct qk_tensor *in = &io->in[0];
  const int64_t c = l->channels, rows = rows_of (l, io);
  const float above = qk_multiplier (in->q.scale, 1.0f, q->scale);
  float *below = slopes_at (l, io->workspace) + c;
  const uint8_t *x = in->data;
  uint8_t *out = io->out->data;

  for (int64_t i = 0; i < c; i++)
    below[i] = qk_multiplier (in->q.scale, slope[i], q->scale);
#pragma omp parallel for num_threads(l->threads)                              \
  schedule(static) if (rows * c >= PARALLEL_MIN)
  for (int64_t r = 0; r < rows; r++)
    if (in->dtype == QK_U8)
      row_u8 (x + r * c, in->q.zero_point, above, below, c, q, out + r * c);
    else
      for (int64_t i = r * c; i < (r + 1) * c; i++)
        out[i] = (uint8_t) qk_quantize (y[i], 1.0f / q->scale, q->zero_point,
                                        q->qmin, q->qmax);
}

static int
forward_quantized (const struct prelu *l, struct qk_layer_io *io,
                   const float *slope)
{
  float *y = results_at (l, io->workspace);
  const bool observes
    = io->out_qz != NULL && qk_quantizer_observing (io->out_qz);
  int r = 0;

  if (observes || io->in[0].dtype != QK_U8)
    pass_real (l, io, slope, y);
  if (observes)
    r = qk_quantizer_observe (io->out_qz, y,
                              (size_t) qk_shape_count (&io->out->shape));
  if (r < 0)
    return r;
  if (io->out_qz != NULL)
    io->out->q = *qk_quantizer_qparams (io->out_qz);
  if (!(io->out->q.scale > 0.0f))
    return qk_error (-EINVAL, "prelu: the u8 output has no grid");
  pass_bytes (l, io, slope, y, &io->out->q);
  return 0;
}

static int
prelu_forward (void *self, struct qk_layer_io *io)
{
  const struct prelu *l = self;
  const float *slope = spread_slopes (l, io);

  if (io->out->dtype == QK_U8)
    return forward_quantized (l, io, slope);
  pass_real (l, io, slope, io->out->data);
  return 0;
}

/* ---- backward ---------------------------------------------------------- */

/* *DY through the quantizer of the output. */
static int
through_quantizer (const struct prelu *l, const struct qk_layer_io *io,
                   const float *slope, const float **dy)
{
  const int64_t n = qk_shape_count (&io->out->shape);
  const struct qk_qparams *q = &io->out->q;
  const float inv = 1.0f / q->scale;
  float *y = results_at (l, io->workspace), *g = y + n;
  int r = 0;

  pass_real (l, io, slope, y);
  if (io->out_qz != NULL && l->transforms)
    r = qk_quantizer_backward (io->out_qz, y, *dy, g, (size_t) n);
  else
    for (int64_t i = 0; i < n; i++)
      g[i]
        = (*dy)[i] * qk_ste_mask (y[i], inv, q->zero_point, q->qmin, q->qmax);
  *dy = g;
  return r;
}

static float
real_at (const struct qk_tensor *t, int64_t i)
{
  return t->dtype == QK_F32 ? ((const float *) t->data)[i]
                            : qk_dequantize (((const uint8_t *) t->data)[i],
                                             t->q.scale, t->q.zero_point);
}

/* Rows FROM to TO: DX, and DWEIGHT of each channel added to SUM. */
static void
backward_rows (const struct prelu *l, const struct qk_tensor *in,
               const float *slope, const float *dy, int64_t from, int64_t to,
               float *dx, double *sum)
{
  const int64_t c = l->channels;

  for (int64_t r = from; r < to; r++)
    for (int64_t i = 0; i < c; i++) {
      const float x = real_at (in, r * c + i), g = dy[r * c + i];

      sum[i] += x > 0.0f ? 0.0 : (double) g * (double) x;
      if (dx != NULL)
        dx[r * c + i] = x > 0.0f ? g : slope[i] * g;
    }
}

static int
prelu_backward (void *self, struct qk_layer_io *io)
{
  const struct prelu *l = self;
  const float *slope = spread_slopes (l, io), *dy = io->dout->data;
  const int64_t c = l->channels, rows = rows_of (l, io);
  const int parts = rows * c < PARALLEL_MIN ? 1 : l->threads;
  double *sum = io->workspace;
  float *dw = io->dparam[0].data;
  int r;

  if (io->out->dtype == QK_U8
      && (r = through_quantizer (l, io, slope, &dy)) < 0)
    return r;
  memset (sum, 0, (size_t) (c * parts) * sizeof *sum);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
  for (int t = 0; t < parts; t++)
    backward_rows (l, &io->in[0], slope, dy, rows * t / parts,
                   rows * (t + 1) / parts, io->din[0].data, sum + t * c);
  for (int64_t i = 0; i < c && dw != NULL; i++) {
    for (int t = 1; t < parts; t++)
      sum[i] += sum[t * c + i];
    if (l->each)
      dw[i] += (float) sum[i];
    else if (i > 0)
      sum[0] += sum[i];
  }
  if (dw != NULL && !l->each)
    dw[0] += (float) sum[0];
  return 0;
}

/* ---- int8 -------------------------------------------------------------- */

static int
prelu_geometry (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct prelu *l = self;

  (void) io;
  op->kind = QK_OP_PRELU;
  op->out_channels = l->channels;
  return 0;
}

static int
prelu_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct prelu *l = self;
  const struct qk_qparams *q = &io->out->q;
  const float *w = io->param[0].data;
  float *m = qk_alloc ((size_t) l->channels * sizeof *m);

  if (m == NULL)
    return qk_oom ("prelu");
  for (int64_t c = 0; c < l->channels; c++)
    m[c] = qk_multiplier (io->in[0].q.scale, w[l->each ? c : 0], q->scale);
  op->multiplier = m;
  op->lo = q->qmin;
  op->hi = q->qmax;
  return prelu_geometry (self, io, op);
}

static const struct qk_option options[]
  = { { .name = "channels",
        .type = QK_OPT_BOOL,
        .def = "no",
        .help = "Whether each channel has a slope of its own." },
      { .name = NULL } };

static const struct qk_layer_class prelu = {
  .cls
  = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "prelu",
              "Rectifier with a trained slope for negative numbers", options),
  .create = prelu_create,
  .destroy = prelu_destroy,
  .infer = prelu_infer,
  .params = prelu_params,
  .setup = prelu_setup,
  .forward = prelu_forward,
  .backward = prelu_backward,
  .quantized = true,
  .lower = prelu_lower,
  .geometry = prelu_geometry,
};

QK_PLUGIN ("prelu", PACKAGE_VERSION, "LGPL-2.1-or-later", &prelu.cls);
