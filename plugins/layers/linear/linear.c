/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* linear.c: fully connected layer, x (N,...,C), w (K,C), y (N,...,K): the last
 * axis, at each place of those between; a convolution with a window of one
 * pixel, see common/conv/conv.h. */
#include "config.h"

#include <stdlib.h>

#include <qatkit/layer.h>

#include "conv/conv.h"

static const struct qk_option options[]
  = { { "out", QK_OPT_INT, NULL, 1, 1 << 24, NULL, "Output features" },
      { "bias", QK_OPT_BOOL, "yes", 0, 0, NULL, "Add a trained bias" },
      { "init_std", QK_OPT_FLOAT, "0.01", 0, 10, NULL,
        "Standard deviation of the weight before training" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
linear_create (const struct qk_config *cfg, void **self)
{
  struct qk_conv *cv = malloc (sizeof *cv);

  if (!cv)
    return qk_oom ("linear");
  qk_conv_init (cv, "linear");
  cv->flat = true;
  cv->k = qk_config_int (cfg, "out");
  cv->bias = qk_config_bool (cfg, "bias");
  cv->init_std = (float) qk_config_float (cfg, "init_std");
  *self = cv;
  return 0;
}

static void
linear_destroy (void *self)
{
  free (self);
}

static int
linear_infer (void *self, const struct qk_shape *in, int n_in,
              struct qk_shape *out)
{
  return qk_conv_infer (self, in, n_in, out);
}

static int
linear_params (void *self, struct qk_param_spec *out)
{
  return qk_conv_params (self, out);
}

static void
linear_describe (void *self, struct qk_layer_traits *out)
{
  qk_conv_describe (self, out);
}

static int
linear_absorb (void *self, const struct qk_layer_traits *next)
{
  return qk_conv_absorb (self, next);
}

static int
linear_setup (void *self, struct qk_layer_setup *s)
{
  return qk_conv_setup (self, s);
}

static int
linear_prepare (void *self, struct qk_layer_io *io)
{
  return qk_conv_prepare (self, io);
}

static int
linear_forward (void *self, struct qk_layer_io *io)
{
  return qk_conv_forward (self, io);
}

static int
linear_backward (void *self, struct qk_layer_io *io)
{
  return qk_conv_backward (self, io);
}

static int
linear_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  return qk_conv_lower (self, io, op);
}

static int
linear_geometry (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  (void) io;
  qk_conv_geometry (self, op);
  return 0;
}

static int
linear_get_weight (void *self, const struct qk_tensor *param, float *weight,
                   float *bias)
{
  return qk_conv_get_weight (self, param, weight, bias);
}

static int
linear_set_weight (void *self, const struct qk_tensor *param,
                   const float *weight, const float *bias)
{
  return qk_conv_set_weight (self, param, weight, bias);
}

static const struct qk_layer_class linear = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "linear",
                   "Fully connected layer on the last axis, y = x W^T + b",
                   options),
  .create = linear_create,
  .destroy = linear_destroy,
  .infer = linear_infer,
  .params = linear_params,
  .describe = linear_describe,
  .absorb = linear_absorb,
  .setup = linear_setup,
  .forward = linear_forward,
  .backward = linear_backward,
  .quantized = true,
  .lower = linear_lower,
  .geometry = linear_geometry,
  .get_weight = linear_get_weight,
  .set_weight = linear_set_weight,
  .prepare = linear_prepare,
};

QK_PLUGIN ("linear", "1.0", "LGPL-2.1-or-later", &linear.cls);
