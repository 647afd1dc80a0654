/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* batchnorm2d: normalise every channel (Ioffe and Szegedy 2015,
 * https://arxiv.org/abs/1502.03167), with PyTorch's conventions.
 *
 * x (N,…,C), seen as M rows of C channels.
 * y = weight (x - mean) / sqrt (var + eps) + bias
 * With batch statistics mean and var are those of the batch, var biased
 * (divided by M); the running ones move by momentum, with the unbiased
 * variance (divided by M - 1).  Without, they are constants.
 *
 * xh = (x - mean) / sqrt (var + eps)
 * dweight += sum dy xh, dbias += sum dy
 * dx = weight / sqrt (var + eps) (dy - mean (dy) - xh mean (dy xh)),
 * the two means only with batch statistics.
 *
 * A clamp that follows is absorbed: y <- min (max (y, lo), hi).  With a byte
 * input, y is computed as the int8 network does, from a[c] x + b[c] with the
 * statistics in use, see affine.c; its gradient is that of the formulas above
 * where the result is neither clamped nor beyond the output's grid. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "batchnorm-priv.h"
#include "multiversion.h"

static int
batchnorm2d_create (const struct qk_config *cfg, void **self)
{
  struct batchnorm *l = calloc (1, sizeof *l);

  if (l == NULL)
    return qk_oom ("batchnorm2d");
  l->eps = (float) qk_config_float (cfg, "eps");
  l->momentum = (float) qk_config_float (cfg, "momentum");
  l->lo = -INFINITY;
  l->hi = INFINITY;
  *self = l;
  return 0;
}

static void
batchnorm2d_destroy (void *self)
{
  free (self);
}

static int
batchnorm2d_infer (void *self, const struct qk_shape *in, int n_in,
                   struct qk_shape *out)
{
  struct batchnorm *l = self;
  char buf[80];

  if (n_in != 1)
    return qk_error (-EINVAL, "batchnorm2d: takes 1 input, got %d", n_in);
  if (in->ndim < 2 || in->dims[in->ndim - 1] < 1)
    return qk_error (-EINVAL, "batchnorm2d: input must be (N,…,C), got %s",
                     qk_shape_print (in, buf, sizeof buf));
  l->channels = in->dims[in->ndim - 1];
  *out = *in;
  return 0;
}

static int
batchnorm2d_params (void *self, struct qk_param_spec *out)
{
  const struct batchnorm *l = self;
  const struct qk_shape shape = { 1, { l->channels } };
  const unsigned trained = QK_PARAM_TRAINED | QK_PARAM_NO_DECAY;

  out[QK_BN_GAMMA] = (struct qk_param_spec){
    .name = "weight", .shape = shape, .flags = trained, .init = QK_INIT_ONE
  };
  out[QK_BN_BETA] = (struct qk_param_spec){
    .name = "bias", .shape = shape, .flags = trained, .init = QK_INIT_ZERO
  };
  out[QK_BN_MEAN] = (struct qk_param_spec){ .name = "running_mean",
                                            .shape = shape,
                                            .flags = QK_PARAM_BUFFER,
                                            .init = QK_INIT_ZERO };
  out[QK_BN_VAR] = (struct qk_param_spec){ .name = "running_var",
                                           .shape = shape,
                                           .flags = QK_PARAM_BUFFER,
                                           .init = QK_INIT_ONE };
  return QK_BN_PARAMS;
}

static void
batchnorm2d_describe (void *self, struct qk_layer_traits *out)
{
  const struct batchnorm *l = self;

  out->role = QK_ROLE_BATCHNORM;
  out->eps = l->eps;
  out->momentum = l->momentum;
}

static int
batchnorm2d_absorb (void *self, const struct qk_layer_traits *next)
{
  struct batchnorm *l = self;

  if (next->role != QK_ROLE_CLAMP || l->clamped)
    return -ENOTSUP;
  l->clamped = true;
  l->lo = next->lo;
  l->hi = next->hi;
  return 0;
}

/* ---- memory -----------------------------------------------------------*/

static size_t
buffer_bytes (int64_t count)
{
  return ((size_t) count * sizeof (float) + 63) & ~(size_t) 63;
}

enum { BUFFER_IN, BUFFER_OUT, BUFFER_GRADIENT, BUFFERS };

static float *
buffer_at (const struct batchnorm *l, void *workspace, int which)
{
  return (void *) ((char *) workspace + bn_constants_bytes (l->channels)
                   + (size_t) l->slices * bn_slice_bytes (l->channels)
                   + (size_t) which * buffer_bytes (l->floats));
}

static int
batchnorm2d_setup (void *self, struct qk_layer_setup *s)
{
  struct batchnorm *l = self;

  l->slices = s->threads > 1 ? s->threads : 1;
  l->transforms
    = s->quantized_out && !(s->out_qz && qk_quantizer_is_ste (s->out_qz));
  l->floats = s->quantized_in || s->quantized_out || l->clamped
                ? qk_shape_count (s->in)
                : 0;
  s->keep_out = false;
  s->workspace = bn_constants_bytes (l->channels)
                 + (size_t) l->slices * bn_slice_bytes (l->channels)
                 + (size_t) (l->transforms ? BUFFERS : BUFFER_GRADIENT)
                     * buffer_bytes (l->floats);
  if (s->train)
    s->saved
      = sizeof (struct saved) + (size_t) l->channels * 2 * sizeof (float);
  return 0;
}

/* ---- forward -----------------------------------------------------------*/

QK_LOOP (static, normalise,
         (const float *x, float *y, int64_t rows, int64_t channels,
          const float *mean, const float *k, const float *bias),
         (x, y, rows, channels, mean, k, bias))
{
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < channels; c++)
      y[r * channels + c] = (x[r * channels + c] - mean[c]) * k[c] + bias[c];
}

/* The input as floats, in the workspace if it is bytes. */
static const float *
real_input (const struct batchnorm *l, const struct qk_layer_io *io)
{
  const struct qk_tensor *in = &io->in[0];
  const int64_t n = qk_shape_count (&in->shape);
  const int threads = io->threads > 1 ? io->threads : 1;
  const uint8_t *q = in->data;
  float *x;

  (void) threads;
  if (in->dtype == QK_F32)
    return in->data;
  x = buffer_at (l, io->workspace, BUFFER_IN);
#pragma omp parallel for simd num_threads(threads)                            \
  schedule(static) if (n >= PARALLEL_MIN)
  for (int64_t i = 0; i < n; i++)
    x[i] = qk_dequantize (q[i], in->q.scale, in->q.zero_point);
  return x;
}

/* What a pass over the rows needs: the constants of each channel. */
struct pass {
  const struct batchnorm *l;
  struct qk_layer_io *io;
  int64_t rows;
  int slices;
  bool bytes; /* the input is, and AFFINE holds */
  float *mean, *inv_std, *k;
  struct affine affine;
};

static struct pass
pass_begin (const struct batchnorm *l, struct qk_layer_io *io)
{
  const int64_t channels = l->channels;
  const int64_t rows = qk_shape_count (&io->in[0].shape) / channels;
  float *f = io->workspace;

  return (struct pass){ .l = l,
                        .io = io,
                        .rows = rows,
                        .slices = bn_slice_count (l, io, rows),
                        .bytes = io->in[0].dtype == QK_U8,
                        .mean = f,
                        .inv_std = f + channels,
                        .k = f + 2 * channels,
                        .affine = affine_at (f + 3 * channels, channels) };
}

/* MEAN and INV_STD to the constants of the chosen arithmetic. */
static void
pass_fold (const struct pass *p)
{
  const float *gamma = p->io->param[QK_BN_GAMMA].data;

  for (int64_t c = 0; c < p->l->channels; c++)
    p->k[c] = gamma[c] * p->inv_std[c];
  if (p->bytes)
    affine_fold (&p->affine, p->l->channels, p->io->in[0].q.scale, gamma,
                 p->io->param[QK_BN_BETA].data, p->mean, p->inv_std);
}

/* The results of slice I as floats. */
static void
slice_real (const struct pass *p, int i, float *y)
{
  const int64_t channels = p->l->channels;
  const int64_t r = bn_slice_start (p->rows, p->slices, i);
  const int64_t n = bn_slice_start (p->rows, p->slices, i + 1) - r;
  const int64_t at = r * channels;
  const struct qk_tensor *in = &p->io->in[0];

  if (p->bytes)
    affine_to_real (&p->affine, (const uint8_t *) in->data + at,
                    in->q.zero_point, n, channels, y + at);
  else
    normalise ((const float *) in->data + at, y + at, n, channels, p->mean,
               p->k, p->io->param[QK_BN_BETA].data);
  for (int64_t j = at; p->l->clamped && j < at + n * channels; j++) {
    const float v = y[j] < p->l->lo ? p->l->lo : y[j];

    y[j] = v > p->l->hi ? p->l->hi : v;
  }
}

static void
pass_real (const struct pass *p, float *y)
{
#pragma omp parallel for num_threads(p->slices)                               \
  schedule(static) if (p->slices > 1)
  for (int i = 0; i < p->slices; i++)
    slice_real (p, i, y);
}

/* The results on the grid Q: from the bytes, or from the floats Y. */
static void
pass_bytes (const struct pass *p, const struct qk_qparams *q, const float *y)
{
  const int64_t channels = p->l->channels;
  const struct qk_tensor *in = &p->io->in[0];
  const float inv = 1.0f / q->scale;
  uint8_t *out = p->io->out->data;
  int32_t lo, hi;

  qk_clamp_bounds (q, p->l->lo, p->l->hi, &lo, &hi);
  if (p->bytes)
    affine_multipliers (&p->affine, channels, in->q.scale, q);
#pragma omp parallel for num_threads(p->slices)                               \
  schedule(static) if (p->slices > 1)
  for (int i = 0; i < p->slices; i++) {
    const int64_t r = bn_slice_start (p->rows, p->slices, i);
    const int64_t n = bn_slice_start (p->rows, p->slices, i + 1) - r;
    const int64_t at = r * channels;

    if (p->bytes)
      affine_to_bytes (&p->affine, (const uint8_t *) in->data + at,
                       in->q.zero_point, n, channels, q, lo, hi, out + at);
    else
      for (int64_t j = at; j < at + n * channels; j++)
        out[j] = (uint8_t) qk_quantize (y[j], inv, q->zero_point, lo, hi);
  }
}

static int
forward_quantized (const struct pass *p)
{
  struct qk_layer_io *io = p->io;
  const bool observes
    = io->out_qz != NULL && qk_quantizer_observing (io->out_qz);
  float *y = NULL;
  int r = 0;

  if (observes || !p->bytes) {
    y = buffer_at (p->l, io->workspace, BUFFER_OUT);
    pass_real (p, y);
  }
  if (observes)
    r = qk_quantizer_observe (io->out_qz, y,
                              (size_t) (p->rows * p->l->channels));
  if (r < 0)
    return r;
  if (io->out_qz != NULL)
    io->out->q = *qk_quantizer_qparams (io->out_qz);
  if (!(io->out->q.scale > 0.0f))
    return qk_error (-EINVAL, "batchnorm2d: the u8 output has no grid");
  pass_bytes (p, &io->out->q, y);
  return 0;
}

static int
batchnorm2d_forward (void *self, struct qk_layer_io *io)
{
  const struct batchnorm *l = self;
  const struct pass p = pass_begin (l, io);
  const bool batch = (io->flags & QK_PASS_BATCH_STATS) != 0;
  const int err = batch ? bn_batch_stats (l, io, real_input (l, io), p.rows,
                                          p.mean, p.inv_std)
                        : bn_running_stats (l, io, p.mean, p.inv_std);

  if (err < 0)
    return err;
  if (io->flags & QK_PASS_TRAIN) {
    struct saved *saved = io->saved;

    saved->batch_stats = batch;
    memcpy (saved->stats, p.mean, (size_t) l->channels * 2 * sizeof *p.mean);
  }
  pass_fold (&p);
  if (io->out->dtype == QK_U8)
    return forward_quantized (&p);
  pass_real (&p, io->out->data);
  return 0;
}

/* ---- backward ----------------------------------------------------------*/

/* dx = k (dy - shift - (x - mean) slope) */
QK_LOOP (static, gradient_batch,
         (const float *x, const float *dy, float *dx, int64_t rows,
          int64_t channels, const float *mean, const float *k,
          const float *shift, const float *slope),
         (x, dy, dx, rows, channels, mean, k, shift, slope))
{
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < channels; c++) {
      const int64_t i = r * channels + c;

      dx[i] = k[c] * (dy[i] - shift[c] - (x[i] - mean[c]) * slope[c]);
    }
}

/* dx = k dy */
QK_LOOP (static, gradient_frozen,
         (const float *dy, float *dx, int64_t rows, int64_t channels,
          const float *k),
         (dy, dx, rows, channels, k))
{
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < channels; c++)
      dx[r * channels + c] = k[c] * dy[r * channels + c];
}

static void
input_gradient (const struct batchnorm *l, struct qk_layer_io *io,
                const float *x, const float *dy, int64_t rows, bool batch,
                const float *mean)
{
  const int64_t channels = l->channels;
  const int n = bn_slice_count (l, io, rows);
  const float *k = io->workspace;
  float *dx = io->din[0].data;

#pragma omp parallel for num_threads(n) schedule(static) if (n > 1)
  for (int i = 0; i < n; i++) {
    const int64_t r = bn_slice_start (rows, n, i), o = r * channels;
    const int64_t m = bn_slice_start (rows, n, i + 1) - r;

    if (batch)
      gradient_batch (x + o, dy + o, dx + o, m, channels, mean, k,
                      k + channels, k + 2 * channels);
    else
      gradient_frozen (dy + o, dx + o, m, channels, k);
  }
}

/* G, which may be DY or Y, = DY where the result Y was neither clamped nor, with
 * Q, limited by that grid. */
static void
gate_real (const struct pass *p, const float *y, const struct qk_qparams *q,
           const float *dy, float *g)
{
  const int64_t n = p->rows * p->l->channels;
  const float inv = q != NULL ? 1.0f / q->scale : 0.0f;
  const float lo = p->l->lo, hi = p->l->hi;

#pragma omp parallel for num_threads(p->slices)                               \
  schedule(static) if (p->slices > 1)
  for (int64_t i = 0; i < n; i++) {
    const bool inside = y[i] > lo && y[i] < hi;

    g[i]
      = !inside ? 0.0f
        : q == NULL
          ? dy[i]
          : dy[i] * qk_ste_mask (y[i], inv, q->zero_point, q->qmin, q->qmax);
  }
}

/* *DY, the gradient by what leaves this layer, to that by what is normalised:
 * through quantizer and clamp. */
static int
gradient_inside (const struct pass *p, const float **dy)
{
  const struct batchnorm *l = p->l;
  struct qk_layer_io *io = p->io;
  const struct qk_tensor *in = &io->in[0];
  const bool quantized = io->out->dtype == QK_U8;
  const bool real = l->transforms || l->clamped || !p->bytes;
  float *y, *g;
  int r;

  if (!quantized && !l->clamped)
    return 0;
  y = buffer_at (l, io->workspace, BUFFER_OUT);
  g = l->transforms ? buffer_at (l, io->workspace, BUFFER_GRADIENT) : y;
  pass_fold (p);
  if (real)
    pass_real (p, y);
  if (quantized && l->transforms && io->out_qz != NULL) {
    r = qk_quantizer_backward (io->out_qz, y, *dy, g,
                               (size_t) (p->rows * l->channels));
    if (r < 0)
      return r;
    gate_real (p, y, NULL, g, g);
  } else if (!p->bytes || !quantized)
    gate_real (p, y, quantized ? &io->out->q : NULL, *dy, g);
  else {
    if (l->clamped)
      gate_real (p, y, NULL, *dy, g);
    affine_multipliers (&p->affine, l->channels, in->q.scale, &io->out->q);
    affine_gate (&p->affine, in->data, in->q.zero_point, p->rows, l->channels,
                 &io->out->q, l->clamped ? g : *dy, g);
  }
  *dy = g;
  return 0;
}

static int
batchnorm2d_backward (void *self, struct qk_layer_io *io)
{
  const struct batchnorm *l = self;
  const struct saved *saved = io->saved;
  const struct pass p = pass_begin (l, io);
  const int64_t channels = l->channels, rows = p.rows;
  const float *gamma = io->param[QK_BN_GAMMA].data;
  const float *mean = saved->stats, *inv_std = mean + channels;
  float *dgamma = io->dparam[QK_BN_GAMMA].data;
  float *dbeta = io->dparam[QK_BN_BETA].data;
  float *k = io->workspace, *shift = k + channels, *slope = shift + channels;
  const float *dy = io->dout->data, *x;
  double all = (double) rows;
  struct slice s;
  int err;

  memcpy (p.mean, mean, (size_t) channels * 2 * sizeof *mean);
  if ((err = gradient_inside (&p, &dy)) < 0)
    return err;
  x = real_input (l, io);
  s = bn_gradient_sums (l, io, x, dy, rows, mean);
  for (int64_t c = 0; c < channels; c++) {

    if (dgamma != NULL)
      dgamma[c] += (float) (s.b[c] * (double) inv_std[c]);
    if (dbeta != NULL)
      dbeta[c] += (float) s.a[c];
  }
  if (saved->batch_stats
      && ((err = qk_comm_reduce (io->comm, QK_COMM_SUM, QK_COMM_F64, s.a,
                                 (size_t) channels))
            < 0
          || (err = qk_comm_reduce (io->comm, QK_COMM_SUM, QK_COMM_F64, s.b,
                                    (size_t) channels))
               < 0
          || (err
              = qk_comm_reduce (io->comm, QK_COMM_SUM, QK_COMM_F64, &all, 1))
               < 0))
    return err;
  for (int64_t c = 0; c < channels; c++) {
    const double inv = (double) inv_std[c];

    k[c] = gamma[c] * inv_std[c];
    shift[c] = (float) (s.a[c] / all);
    slope[c] = (float) (s.b[c] / all * inv * inv);
  }
  if (io->din[0].data != NULL)
    input_gradient (l, io, x, dy, rows, saved->batch_stats != 0, mean);
  return 0;
}

/* ---- int8 -------------------------------------------------------------- */

/* Arrays of the operation, which takes them. */
struct lowered {
  int8_t *weight;
  int32_t *bias;
  float *multiplier, *scale;
};

static int
lower_alloc (int64_t channels, struct lowered *a)
{
  const size_t n = (size_t) channels;

  a->weight = qk_alloc (n);
  a->bias = qk_alloc (n * sizeof *a->bias);
  a->multiplier = qk_alloc (n * sizeof *a->multiplier);
  a->scale = qk_alloc (n * sizeof *a->scale);
  if (a->weight != NULL && a->bias != NULL && a->multiplier != NULL
      && a->scale != NULL)
    return 0;
  qk_free (a->weight);
  qk_free (a->bias);
  qk_free (a->multiplier);
  qk_free (a->scale);
  return qk_oom ("batchnorm2d");
}

/* A window of 1x1, one channel to one channel. */
static void
lower_geometry (int64_t channels, struct qk_op *op)
{
  op->kind = QK_OP_CONV2D;
  op->kernel_h = op->kernel_w = op->stride_h = op->stride_w = 1;
  op->dilation_h = op->dilation_w = 1;
  op->groups = (int) channels;
  op->in_channels = op->out_channels = channels;
}

static int
lower_arrays (const struct batchnorm *l, const struct qk_layer_io *io,
              const struct pass *p, struct qk_op *op)
{
  const int64_t channels = l->channels;
  struct lowered a;
  int err = bn_running_stats (l, io, p->mean, p->inv_std);

  if (err < 0 || (err = lower_alloc (channels, &a)) < 0)
    return err;
  pass_fold (p);
  affine_multipliers (&p->affine, channels, io->in[0].q.scale, &io->out->q);
  for (int64_t c = 0; c < channels; c++) {
    a.weight[c] = (int8_t) p->affine.w[c];
    a.bias[c] = p->affine.bias[c];
    a.multiplier[c] = p->affine.m[c];
    a.scale[c] = p->affine.sw[c];
  }
  op->weight = a.weight;
  op->bias = a.bias;
  op->multiplier = a.multiplier;
  op->weight_scale = a.scale;
  op->weight_scales = channels;
  return 0;
}

static int
batchnorm2d_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  const struct batchnorm *l = self;
  struct qk_layer_io own = *io;
  struct pass p;
  int err;

  if (io->in[0].dtype != QK_U8)
    return qk_error (-ENOTSUP, "batchnorm2d: the input is not quantized");
  if (l->clamped && !(io->out->q.scale > 0.0f))
    return qk_error (-ENOTSUP,
                     "batchnorm2d: a clamp needs a quantized output");
  own.workspace = qk_alloc (bn_constants_bytes (l->channels));
  if (own.workspace == NULL)
    return qk_oom ("batchnorm2d");
  p = pass_begin (l, &own);
  err = lower_arrays (l, &own, &p, op);
  qk_free (own.workspace);
  if (err < 0)
    return err;
  lower_geometry (l->channels, op);
  op->lo = op->hi = 0;
  if (io->out->q.scale > 0.0f)
    qk_clamp_bounds (&io->out->q, l->lo, l->hi, &op->lo, &op->hi);
  return 0;
}

static const struct qk_option options[]
  = { { .name = "eps",
        .type = QK_OPT_FLOAT,
        .def = "1e-5",
        .min = 1e-12,
        .max = 1,
        .help = "Added to the variance before the square root is taken." },
      { .name = "momentum",
        .type = QK_OPT_FLOAT,
        .def = "0.1",
        .min = 0,
        .max = 1,
        .help = "Share of the batch in the new running mean and variance." },
      { .name = NULL } };

static const struct qk_layer_class batchnorm2d = {
  .cls
  = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "batchnorm2d",
              "Batch normalisation over all axes but the channels", options),
  .create = batchnorm2d_create,
  .destroy = batchnorm2d_destroy,
  .infer = batchnorm2d_infer,
  .params = batchnorm2d_params,
  .describe = batchnorm2d_describe,
  .absorb = batchnorm2d_absorb,
  .setup = batchnorm2d_setup,
  .forward = batchnorm2d_forward,
  .backward = batchnorm2d_backward,
  .quantized = true,
  .lower = batchnorm2d_lower,
};

QK_PLUGIN ("batchnorm2d", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &batchnorm2d.cls);
