/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv2d.c: two-dimensional convolution; see common/conv/conv.h.
 *
 * Options: out, kernel, kernel_h, kernel_w, stride, stride_h, stride_w,
 * padding, padding_top, padding_left, padding_bottom, padding_right, dilation,
 * dilation_h, dilation_w, groups, bias.  A signal (N,L,C) is convolved as
 * (N,1,L,C) with kernel_h=1, stride_h=1 and no padding above and below. */
#include "config.h"

#include <stdlib.h>

#include <qatkit/layer.h>

#include "conv/conv.h"
#include "window/window.h"

static const struct qk_option options[]
  = { { "out", QK_OPT_INT, NULL, 1, 1 << 20, NULL, "Output channels" },
      WINDOW_KERNEL ("1", 1),
      WINDOW_STRIDE ("1", 1, "Step of the window down and across, in pixels."),
      WINDOW_PADDING ("Zeros on each side of the sample, in pixels."),
      WINDOW_DILATION,
      { "groups", QK_OPT_INT, "1", 1, 1 << 20, NULL,
        "Groups of channels that are convolved on their own" },
      { "bias", QK_OPT_BOOL, "yes", 0, 0, NULL, "Add a trained bias" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
conv2d_create (const struct qk_config *cfg, void **self)
{
  struct qk_conv *cv = malloc (sizeof *cv);
  struct window w;

  if (!cv)
    return qk_oom ("conv2d");
  qk_conv_init (cv, "conv2d");
  cv->k = qk_config_int (cfg, "out");
  window_read (cfg, &w);
  window_read_dilation (cfg, &w);
  cv->r = w.kernel_h;
  cv->s = w.kernel_w;
  cv->stride_h = w.stride_h;
  cv->stride_w = w.stride_w;
  cv->pad_top = w.top;
  cv->pad_left = w.left;
  cv->pad_bottom = w.bottom;
  cv->pad_right = w.right;
  cv->dil_h = w.dilation_h;
  cv->dil_w = w.dilation_w;
  cv->groups = (int) qk_config_int (cfg, "groups");
  cv->bias = qk_config_bool (cfg, "bias");
  *self = cv;
  return 0;
}

static void
conv2d_destroy (void *self)
{
  free (self);
}

static int
conv2d_infer (void *self, const struct qk_shape *in, int n_in,
              struct qk_shape *out)
{
  return qk_conv_infer (self, in, n_in, out);
}

static int
conv2d_params (void *self, struct qk_param_spec *out)
{
  return qk_conv_params (self, out);
}

static void
conv2d_describe (void *self, struct qk_layer_traits *out)
{
  qk_conv_describe (self, out);
}

static int
conv2d_absorb (void *self, const struct qk_layer_traits *next)
{
  return qk_conv_absorb (self, next);
}

static int
conv2d_setup (void *self, struct qk_layer_setup *s)
{
  return qk_conv_setup (self, s);
}

static int
conv2d_prepare (void *self, struct qk_layer_io *io)
{
  return qk_conv_prepare (self, io);
}

static int
conv2d_forward (void *self, struct qk_layer_io *io)
{
  return qk_conv_forward (self, io);
}

static int
conv2d_backward (void *self, struct qk_layer_io *io)
{
  return qk_conv_backward (self, io);
}

static int
conv2d_lower (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  return qk_conv_lower (self, io, op);
}

static int
conv2d_geometry (void *self, const struct qk_layer_io *io, struct qk_op *op)
{
  (void) io;
  qk_conv_geometry (self, op);
  return 0;
}

static int
conv2d_get_weight (void *self, const struct qk_tensor *param, float *weight,
                   float *bias)
{
  return qk_conv_get_weight (self, param, weight, bias);
}

static int
conv2d_set_weight (void *self, const struct qk_tensor *param,
                   const float *weight, const float *bias)
{
  return qk_conv_set_weight (self, param, weight, bias);
}

static const struct qk_layer_class conv2d = {
  .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, "conv2d",
                   "Two-dimensional convolution, also grouped and depthwise",
                   options),
  .create = conv2d_create,
  .destroy = conv2d_destroy,
  .infer = conv2d_infer,
  .params = conv2d_params,
  .describe = conv2d_describe,
  .absorb = conv2d_absorb,
  .setup = conv2d_setup,
  .forward = conv2d_forward,
  .backward = conv2d_backward,
  .quantized = true,
  .lower = conv2d_lower,
  .geometry = conv2d_geometry,
  .get_weight = conv2d_get_weight,
  .set_weight = conv2d_set_weight,
  .prepare = conv2d_prepare,
};

QK_PLUGIN ("conv2d", "1.0", "LGPL-2.1-or-later", &conv2d.cls);
