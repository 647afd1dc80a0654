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

static int
batchnorm2d_setup (void *self, struct qk_layer_setup *s)
{
  struct batchnorm *l = self;
  const bool ste = s->out_qz != NULL && qk_quantizer_is_ste (s->out_qz);
  const int64_t n = qk_shape_count (s->in);

  l->slices = s->threads > 1 ? s->threads : 1;
  l->transforms = s->out_qz != NULL && !ste;
  l->floats
    = l->transforms || (ste && !qk_quantizer_wants_range (s->out_qz)) ? n : 0;
  s->keep_out = false;
  s->workspace = bn_constants_bytes (l->channels)
                 + bn_extents_bytes (l->slices)
                 + (size_t) l->slices * bn_slice_bytes (l->channels)
                 + (size_t) (l->transforms ? BN_BUFFERS : 1)
                     * bn_buffer_bytes (l->floats);
  if (s->train)
    s->saved
      = sizeof (struct saved) + (size_t) l->channels * 2 * sizeof (float);
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
lower_arrays (const struct pass *p, struct qk_op *op)
{
  const struct qk_layer_io *io = p->io;
  const int64_t channels = p->l->channels;
  struct lowered a;
  int err = bn_running_stats (p);

  if (err < 0 || (err = lower_alloc (channels, &a)) < 0)
    return err;
  bn_pass_fold (p);
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
  p = bn_pass_begin (l, &own);
  err = lower_arrays (&p, op);
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
  .forward = bn_forward,
  .backward = bn_backward,
  .quantized = true,
  .lower = batchnorm2d_lower,
};

QK_PLUGIN ("batchnorm2d", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &batchnorm2d.cls);
