/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fold.c: the integers of weight and bias, for training and for conversion.
 *
 * sigma = sqrt (running_var + eps), k = gamma / sigma, weight -> weight * k
 * on the weight's grid; bias -> beta + (bias - running_mean) * k on the grid
 * of the accumulator (s_in * s_w). */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "multiversion.h"

/* 2^31 less what rounding to float may add. */
#define ACC_LIMIT 2147483392.0

static const float *
bn_param (const struct qk_conv *cv, const struct qk_tensor *param, int which)
{
  return param[1 + cv->bias + which].data;
}

void
conv_norm_factors (const struct qk_conv *cv, const struct qk_tensor *param,
                   float *k, float *sigma)
{
  for (int64_t i = 0; i < cv->k; i++) {
    sigma[i] = cv->bn ? sqrtf (bn_param (cv, param, QK_BN_VAR)[i] + cv->eps)
                      : 1.0f;
    k[i] = cv->bn ? bn_param (cv, param, QK_BN_GAMMA)[i] / sigma[i] : 1.0f;
  }
}

static float
folded_bias (const struct qk_conv *cv, const struct qk_tensor *param,
             int64_t i, float k)
{
  const float b = cv->bias ? ((const float *) param[1].data)[i] : 0.0f;

  if (!cv->bn)
    return b;
  return bn_param (cv, param, QK_BN_BETA)[i]
         + (b - bn_param (cv, param, QK_BN_MEAN)[i]) * k;
}

/* Sum of N < 2^24 weights, and of their absolute values. */
QK_MULTIVERSION static void
weight_sums (const int8_t *w, int64_t n, int32_t *sum, int32_t *size)
{
  int32_t s = 0, a = 0;

#pragma omp simd reduction(+ : s, a)
  for (int64_t i = 0; i < n; i++) {
    const int32_t x = w[i];

    s += x;
    a += x < 0 ? -x : x;
  }
  *sum = s;
  *size = a;
}

/* The largest |sum (a - z) w| over all inputs on the grid, which also bounds
 * every partial sum. */
static double
accumulator_bound (const int8_t *w, int64_t depth, const struct qk_qparams *q)
{
  const double hi = q->qmax - q->zero_point, lo = q->zero_point - q->qmin;
  const int64_t piece = 1 << 20;
  double pos = 0.0, neg = 0.0, a, b;

  for (int64_t i = 0; i < depth; i += piece) {
    int32_t sum, size;

    weight_sums (w + i, depth - i < piece ? depth - i : piece, &sum, &size);
    pos += ((double) size + (double) sum) / 2.0;
    neg += ((double) size - (double) sum) / 2.0;
  }
  a = pos * hi + neg * lo;
  b = pos * lo + neg * hi;
  return a > b ? a : b;
}

/* Smallest and largest w k; NaN or infinite where one of them is. */
QK_MULTIVERSION static void
scaled_range (const float *w, int64_t n, float k, float *min, float *max)
{
  float lo = INFINITY, hi = -INFINITY;
  int bad = 0;

#pragma omp simd reduction(min : lo) reduction(max : hi) reduction(| : bad)
  for (int64_t j = 0; j < n; j++) {
    const float x = w[j] * k;

    lo = x < lo ? x : lo;
    hi = x > hi ? x : hi;
    bad |= !(x - x == 0.0f);
  }
  /* -0 or 0 as the smallest would depend on the order */
  *min = lo + 0.0f;
  *max = hi + 0.0f;
  for (int64_t j = 0; bad && j < n; j++)
    if (isnan (w[j] * k))
      *min = NAN;
}

QK_MULTIVERSION static void
quantize_scaled (const float *restrict w, int64_t n, float k,
                 const struct qk_qparams *q, int8_t *restrict wq)
{
  const float inv = 1.0f / q->scale;
  const int32_t zp = q->zero_point, lo = q->qmin, hi = q->qmax;

  QK_SIMD
  for (int64_t j = 0; j < n; j++)
    wq[j] = (int8_t) qk_quantize (w[j] * k, inv, zp, lo, hi);
}

/* The weight's quantizer sees w k: where its observer wants ranges only, w k
 * is written nowhere. */
static int
observe_weight (const struct qk_conv *cv, const float *w,
                struct qk_quantizer *qz, struct conv_fold *f)
{
  const int64_t depth = conv_depth (cv), n = cv->k * depth;
  float *min = f->sw, *max = f->bias_real; /* not needed yet */
  const bool share = f->threads > 1 && n > CONV_PARALLEL_MIN;

  if (!qk_quantizer_observing (qz))
    return 0;
  if (!qk_quantizer_wants_range (qz))
    return qk_quantizer_observe (qz, f->wk, (size_t) n);
#pragma omp parallel for num_threads(f->threads) schedule(static) if (share)
  for (int64_t i = 0; i < cv->k; i++)
    scaled_range (w + i * depth, depth, f->k[i], &min[i], &max[i]);
  for (int64_t i = 1; qk_quantizer_channels (qz) == 1 && i < cv->k; i++) {
    /* what is not finite stays */
    min[0] = min[i] >= min[0] ? min[0] : min[i];
    max[0] = max[i] <= max[0] ? max[0] : max[i];
  }
  return qk_quantizer_observe_range (qz, min, max);
}

/* What fold_channel needs to know. */
struct fold {
  const struct qk_conv *cv;
  const struct qk_tensor *param;
  const struct qk_qparams *grid, *in_q;
  int64_t grids;
  bool batch;
  bool quantize; /* wq is not yet there */
};

/* Scale, bias and integers of channel I; returns the bound of its
 * accumulator. */
static double
fold_channel (const struct fold *o, int64_t i, struct conv_fold *f)
{
  const int64_t depth = conv_depth (o->cv);
  const struct qk_qparams *grid = o->grid + (o->grids == 1 ? 0 : i);

  f->sw[i] = grid->scale;
  f->bias_real[i] = folded_bias (o->cv, o->param, i, f->k[i]);
  if (o->quantize)
    quantize_scaled ((const float *) o->param[0].data + i * depth, depth,
                     f->k[i], grid, f->wq + i * depth);
  if (!o->in_q)
    return 0.0;
  f->bias[i] = o->batch ? 0
                        : qk_quantize_bias (f->bias_real[i], o->in_q->scale,
                                            f->sw[i]);
  return accumulator_bound (f->wq + i * depth, depth, o->in_q);
}

/* All channels; checks that neither bias nor accumulator overflows. */
static int
fold_channels (const struct fold *o, struct conv_fold *f)
{
  const struct qk_conv *cv = o->cv;
  const bool share
    = f->threads > 1 && cv->k * conv_depth (cv) > CONV_PARALLEL_MIN;
  int64_t bad = cv->k;
  int wide = 0;
  double bound;

#pragma omp parallel for num_threads(f->threads) schedule(static)             \
  reduction(min : bad) reduction(| : wide) private(bound) if (share)
  for (int64_t i = 0; i < cv->k; i++) {
    bound = fold_channel (o, i, f);
    wide |= bound >= CONV_EXACT_LIMIT;
    if (o->in_q && bound + fabs ((double) f->bias[i]) >= ACC_LIMIT && i < bad)
      bad = i;
  }
  f->wide = wide != 0;
  if (bad == cv->k)
    return 0;
  bound = fold_channel (o, bad, f) + fabs ((double) f->bias[bad]);
  return qk_error (-ERANGE,
                   "%s: the sum of output channel %lld may reach %.0f, too "
                   "much for int32 (limit %.0f)",
                   cv->who, (long long) bad, bound, ACC_LIMIT);
}

/* w k for all channels. */
static void
scale_weight (const struct qk_conv *cv, const float *w, struct conv_fold *f)
{
  const int64_t depth = conv_depth (cv);

#pragma omp parallel for num_threads(f->threads) schedule(static)             \
  if (f->threads > 1 && cv->k * depth > CONV_PARALLEL_MIN)
  for (int64_t i = 0; i < cv->k; i++)
    for (int64_t j = 0; j < depth; j++)
      f->wk[i * depth + j] = w[i * depth + j] * f->k[i];
}

int
conv_fold (const struct qk_conv *cv, const struct qk_tensor *param,
           struct qk_quantizer *weight_qz, const struct qk_qparams *in_q,
           bool observe, bool batch, struct conv_fold *f)
{
  const int64_t n = cv->k * conv_depth (cv);
  const bool observing = observe && qk_quantizer_observing (weight_qz);
  struct fold o = { .cv = cv, .param = param, .in_q = in_q, .batch = batch };
  int ret;

  o.grids = qk_quantizer_channels (weight_qz);
  if (o.grids != 1 && o.grids != cv->k)
    return qk_error (-EINVAL,
                     "%s: the weight's quantizer has %lld channels, expected "
                     "1 or %lld",
                     cv->who, (long long) o.grids, (long long) cv->k);
  conv_norm_factors (cv, param, f->k, f->sigma);
  /* a fake-quantizer of its own kind may reshape w k first */
  o.quantize = qk_quantizer_is_ste (weight_qz);
  if (!o.quantize || (observing && !qk_quantizer_wants_range (weight_qz)))
    scale_weight (cv, param[0].data, f);
  if (observe
      && (ret = observe_weight (cv, param[0].data, weight_qz, f)) < 0)
    return ret;
  if (!o.quantize
      && (ret = qk_quantizer_forward_i8 (weight_qz, f->wk, (size_t) n,
                                         f->wq)) < 0)
    return ret;
  o.grid = qk_quantizer_qparams (weight_qz);
  return fold_channels (&o, f);
}

void
qk_conv_geometry (const struct qk_conv *cv, struct qk_op *op)
{
  op->kind = cv->flat ? QK_OP_LINEAR : QK_OP_CONV2D;
  op->kernel_h = cv->r;
  op->kernel_w = cv->s;
  op->stride_h = cv->stride_h;
  op->stride_w = cv->stride_w;
  op->pad_top = cv->pad_top;
  op->pad_left = cv->pad_left;
  op->pad_bottom = cv->pad_bottom;
  op->pad_right = cv->pad_right;
  op->dilation_h = cv->dil_h;
  op->dilation_w = cv->dil_w;
  op->groups = cv->groups;
  op->in_channels = cv->c;
  op->out_channels = cv->k;
}

/* Weight and bias of an operation whose input is put on a grid anew in each
 * call. */
static int
lower_dynamic (struct qk_conv *cv, const struct qk_layer_io *io,
               struct qk_op *op)
{
  const size_t k = (size_t) cv->k, n = k * (size_t) conv_depth (cv);
  struct conv_fold f = { .threads = 1 };
  float *m, *scratch;
  int ret = -ENOMEM;

  if (!cv->flat || !io->weight_qz || cv->clamp || io->out->q.scale > 0.0f)
    return qk_error (-ENOTSUP, "%s: no dynamic form", cv->who);
  scratch = qk_alloc ((2 * k + n) * sizeof (float));
  f.wq = qk_alloc (n);
  f.bias_real = qk_alloc (k * sizeof (float));
  m = qk_alloc (k * sizeof *m);
  if (!scratch || !f.wq || !f.bias_real || !m) {
    qk_error (ret, "%s: out of memory", cv->who);
    goto error;
  }
  f.k = scratch;
  f.sigma = scratch + k;
  f.wk = scratch + 2 * k;
  f.sw = m;
  ret = conv_fold (cv, io->param, io->weight_qz, NULL, false, false, &f);
  if (ret < 0)
    goto error;
  op->kind = QK_OP_LINEAR_DYNAMIC;
  op->in_channels = cv->c;
  op->out_channels = cv->k;
  op->weight = f.wq;
  op->real_bias = f.bias_real;
  op->multiplier = m;
  qk_free (scratch);
  return 0;

error:
  qk_free (scratch);
  qk_free (f.wq);
  qk_free (f.bias_real);
  qk_free (m);
  return ret;
}

int
qk_conv_get_weight (struct qk_conv *cv, const struct qk_tensor *param,
                    float *weight, float *bias)
{
  const int64_t depth = conv_depth (cv);
  const float *w = param[0].data;

  for (int64_t i = 0; i < cv->k; i++) {
    float k = 1.0f;

    if (cv->bn) {
      const float sigma
        = sqrtf (bn_param (cv, param, QK_BN_VAR)[i] + cv->eps);

      k = bn_param (cv, param, QK_BN_GAMMA)[i] / sigma;
    }
    for (int64_t j = 0; j < depth; j++)
      weight[i * depth + j] = w[i * depth + j] * k;
    bias[i] = folded_bias (cv, param, i, k);
  }
  return 0;
}

/* With gamma = sigma the factor of batch-norm is exactly 1. */
int
qk_conv_set_weight (struct qk_conv *cv, const struct qk_tensor *param,
                    const float *weight, const float *bias)
{
  const struct qk_tensor *bn = param + 1 + cv->bias;
  const int64_t n = cv->k * conv_depth (cv);
  int ret = 0;
  float *old;

  if (bias && !cv->bias && !cv->bn)
    for (int64_t i = 0; i < cv->k; i++)
      if (bias[i] != 0.0f)
        return qk_error (-ENOTSUP, "%s: has no bias that could become %g",
                         cv->who, (double) bias[i]);
  if (!bias && cv->bn) { /* what it is now, before gamma goes */
    old = qk_alloc ((size_t) (n + cv->k) * sizeof *old);
    if (!old)
      return qk_error (-ENOMEM, "%s: out of memory", cv->who);
    ret = qk_conv_get_weight (cv, param, old, old + n);
    if (ret == 0)
      ret = qk_conv_set_weight (cv, param, weight, old + n);
    qk_free (old);
    return ret;
  }
  memcpy (param[0].data, weight, (size_t) n * sizeof *weight);
  for (int64_t i = 0; bias && i < cv->k; i++) {
    if (cv->bias)
      ((float *) param[1].data)[i] = cv->bn ? 0.0f : bias[i];
    if (!cv->bn)
      continue;
    ((float *) bn[QK_BN_GAMMA].data)[i]
      = sqrtf (((float *) bn[QK_BN_VAR].data)[i] + cv->eps);
    ((float *) bn[QK_BN_BETA].data)[i] = bias[i];
    ((float *) bn[QK_BN_MEAN].data)[i] = 0.0f;
  }
  return 0;
}

int
qk_conv_lower (struct qk_conv *cv, const struct qk_layer_io *io,
               struct qk_op *op)
{
  const size_t k = (size_t) cv->k, n = k * (size_t) conv_depth (cv);
  const struct qk_qparams *in_q = &io->in[0].q, *out_q = &io->out->q;
  struct conv_fold f = { .threads = 1 };
  float *m = NULL;
  int ret = -ENOMEM;

  if (io->in[0].dtype == QK_F32)
    return lower_dynamic (cv, io, op);
  if (!io->weight_qz || !(in_q->scale > 0.0f))
    return qk_error (-ENOTSUP, "%s: %s is not quantized", cv->who,
                     io->weight_qz ? "the input" : "the weight");
  if (cv->clamp && !(out_q->scale > 0.0f))
    return qk_error (-ENOTSUP, "%s: a clamp needs a quantized output",
                     cv->who);
  f.k = qk_alloc (4 * k * sizeof (float));
  f.wk = qk_alloc (n * sizeof (float));
  f.wq = qk_alloc (n);
  f.bias = qk_alloc (k * sizeof *f.bias);
  m = qk_alloc (k * sizeof *m);
  if (!f.k || !f.wk || !f.wq || !f.bias || !m) {
    qk_error (ret, "%s: out of memory", cv->who);
    goto error;
  }
  f.sigma = f.k + k;
  f.sw = f.k + 2 * k;
  f.bias_real = f.k + 3 * k;
  ret = conv_fold (cv, io->param, io->weight_qz, in_q, false, false, &f);
  if (ret < 0)
    goto error;

  qk_conv_geometry (cv, op);
  op->lo = op->hi = 0;
  if (out_q->scale > 0.0f)
    qk_clamp_bounds (out_q, cv->lo, cv->hi, &op->lo, &op->hi);
  for (size_t i = 0; i < k; i++)
    m[i] = out_q->scale > 0.0f
             ? qk_multiplier (in_q->scale, f.sw[i], out_q->scale)
             : in_q->scale * f.sw[i];
  op->weight = f.wq;
  op->bias = f.bias;
  op->multiplier = m;
  qk_free (f.k);
  qk_free (f.wk);
  return 0;

error:
  qk_free (f.k);
  qk_free (f.wk);
  qk_free (f.wq);
  qk_free (f.bias);
  qk_free (m);
  return ret;
}
