/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv.c: shapes and parameters of a convolution. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"

void
qk_conv_init (struct qk_conv *cv, const char *who)
{
  memset (cv, 0, sizeof *cv);
  cv->who = who;
  cv->r = cv->s = cv->stride_h = cv->stride_w = 1;
  cv->dil_h = cv->dil_w = cv->groups = 1;
  cv->lo = -INFINITY;
  cv->hi = INFINITY;
}

int64_t
conv_depth (const struct qk_conv *cv)
{
  return cv->r * cv->s * (cv->c / cv->groups);
}

enum conv_kind
conv_kind (const struct qk_conv *cv)
{
  if (cv->r == 1 && cv->s == 1 && cv->stride_h == 1 && cv->stride_w == 1
      && cv->groups == 1 && !cv->pad_top && !cv->pad_left && !cv->pad_bottom
      && !cv->pad_right)
    return CONV_DIRECT;
  if (cv->groups == cv->c && cv->k == cv->c && cv->c > 1
      && cv->r * cv->s <= CONV_WIDE_CHUNK)
    return CONV_DEPTHWISE;
  return CONV_GENERAL;
}

/* ---- shapes and parameters ---------------------------------------------*/

static int64_t
window_out (int64_t size, int before, int after, int kernel, int dilation,
            int stride)
{
  const int64_t room
    = size + before + after - ((int64_t) dilation * (kernel - 1) + 1);

  return room < 0 ? 0 : room / stride + 1;
}

static int
infer_sizes (struct qk_conv *cv, const struct qk_shape *in)
{
  const int last = in->ndim - 1;
  char buf[96];

  if (cv->flat ? in->ndim < 2 : in->ndim != 4)
    return qk_error (-EINVAL, "%s: input must be %s, got %s", cv->who,
                     cv->flat ? "(N,...,C)" : "(N,H,W,C)",
                     qk_shape_print (in, buf, sizeof buf));
  for (int i = 1; i < in->ndim; i++)
    if (in->dims[i] < 1 || in->dims[i] > 1 << 24)
      return qk_error (-EINVAL, "%s: unusable input shape %s", cv->who,
                       qk_shape_print (in, buf, sizeof buf));
  cv->h = cv->flat ? 1 : in->dims[1];
  cv->w = cv->flat ? 1 : in->dims[2];
  for (int i = 1; cv->flat && i < last; i++)
    if ((cv->w *= in->dims[i]) > 1 << 30)
      return qk_error (-EOVERFLOW, "%s: input %s has more than 2^30 rows",
                       cv->who, qk_shape_print (in, buf, sizeof buf));
  cv->c = in->dims[last];
  cv->p = window_out (cv->h, cv->pad_top, cv->pad_bottom, cv->r, cv->dil_h,
                      cv->stride_h);
  cv->q = window_out (cv->w, cv->pad_left, cv->pad_right, cv->s, cv->dil_w,
                      cv->stride_w);
  return 0;
}

int
qk_conv_infer (struct qk_conv *cv, const struct qk_shape *in, int n_in,
               struct qk_shape *out)
{
  char buf[96];
  int ret;

  if (n_in != 1)
    return qk_error (-EINVAL, "%s: takes 1 input, got %d", cv->who, n_in);
  ret = infer_sizes (cv, in);
  if (ret < 0)
    return ret;
  if (cv->p < 1 || cv->q < 1)
    return qk_error (-EINVAL,
                     "%s: a window of %dx%d (dilation %dx%d) does not fit "
                     "the padded input %s",
                     cv->who, cv->r, cv->s, cv->dil_h, cv->dil_w,
                     qk_shape_print (in, buf, sizeof buf));
  if (cv->c % cv->groups || cv->k % cv->groups)
    return qk_error (-EINVAL,
                     "%s: groups = %d must divide the %lld input and %lld "
                     "output channels",
                     cv->who, cv->groups, (long long) cv->c,
                     (long long) cv->k);
  if ((double) cv->k * (double) conv_depth (cv) > 1e9)
    return qk_error (-EOVERFLOW, "%s: a weight of %lld x %lld is too large",
                     cv->who, (long long) cv->k, (long long) conv_depth (cv));
  *out = *in;
  if (cv->flat)
    out->dims[out->ndim - 1] = cv->k;
  else {
    out->dims[1] = cv->p;
    out->dims[2] = cv->q;
    out->dims[3] = cv->k;
  }
  return 0;
}

int
qk_conv_params (struct qk_conv *cv, struct qk_param_spec *out)
{
  const struct qk_shape conv
    = { 4, { cv->k, cv->r, cv->s, cv->c / cv->groups } };
  const struct qk_shape flat = { 2, { cv->k, cv->c } };
  const int64_t fan_in = conv_depth (cv);

  out[0] = (struct qk_param_spec){
    .name = "weight",
    .shape = cv->flat ? flat : conv,
    .flags = QK_PARAM_TRAINED | QK_PARAM_WEIGHT,
    .layout = cv->flat ? QK_LAYOUT_SAME : QK_LAYOUT_OIHW,
    .init = cv->flat ? QK_INIT_NORMAL : QK_INIT_KAIMING_NORMAL,
    .init_value
    = cv->flat ? cv->init_std : (float) (cv->k / cv->groups * cv->r * cv->s),
  };
  if (!cv->bias)
    return 1;
  out[1] = (struct qk_param_spec){
    .name = "bias",
    .shape = { 1, { cv->k } },
    .flags = QK_PARAM_TRAINED | QK_PARAM_NO_DECAY,
    .init = cv->flat ? QK_INIT_ZERO : QK_INIT_UNIFORM,
    .init_value = 1.0f / sqrtf ((float) fan_in),
  };
  return 2;
}

void
qk_conv_describe (struct qk_conv *cv, struct qk_layer_traits *out)
{
  out->role = QK_ROLE_WEIGHTED;
  out->dynamic = cv->flat;
  out->wide = true;
  out->macs = cv->p * cv->q * cv->k * conv_depth (cv);
}

int
qk_conv_absorb (struct qk_conv *cv, const struct qk_layer_traits *next)
{
  if (next->role == QK_ROLE_BATCHNORM && !cv->bn && !cv->clamp) {
    cv->bn = true;
    cv->eps = next->eps;
    cv->momentum = next->momentum;
    return 0;
  }
  if (next->role == QK_ROLE_CLAMP && !cv->clamp) {
    cv->clamp = true;
    cv->lo = next->lo;
    cv->hi = next->hi;
    return 0;
  }
  return -ENOTSUP;
}
