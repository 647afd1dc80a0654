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
    sigma[i]
      = cv->bn ? sqrtf (bn_param (cv, param, QK_BN_VAR)[i] + cv->eps) : 1.0f;
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
QK_LOOP (static, weight_sums,
         (const int8_t *w, int64_t n, int32_t *sum, int32_t *size),
         (w, n, sum, size))
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

/* Both of channel I, which may have more weights than that. */
static void
channel_sums (const struct qk_conv *cv, int64_t i, struct conv_weight *w)
{
  const int64_t depth = conv_depth (cv), piece = 1 << 20;

  w->sum[i] = w->size[i] = 0.0;
  for (int64_t j = 0; j < depth; j += piece) {
    int32_t sum, size;

    weight_sums (w->wq + i * depth + j, depth - j < piece ? depth - j : piece,
                 &sum, &size);
    w->sum[i] += sum;
    w->size[i] += size;
  }
}

/* The largest |sum (a - z) w| over all inputs on the grid, which also bounds
 * every partial sum. */
static double
accumulator_bound (double sum, double size, const struct qk_qparams *q)
{
  const double hi = q->qmax - q->zero_point, lo = q->zero_point - q->qmin;
  const double pos = (size + sum) / 2.0, neg = (size - sum) / 2.0;
  const double a = pos * hi + neg * lo, b = pos * lo + neg * hi;

  return a > b ? a : b;
}

/* The largest sum of a channel, bias included, that has to fit int32.  Of an
 * input of more than 8 bits these are the sums of its bytes, see wideconv.h. */
static double
channel_bound (double sum, double size, const struct qk_qparams *q,
               int32_t bias)
{
  return qk_grid_is_wide (q)
           ? size * QK_U8_MAX
           : accumulator_bound (sum, size, q) + fabs ((double) bias);
}

/* Smallest and largest w k; NaN or infinite where one of them is. */
QK_LOOP (static, scaled_range,
         (const float *w, int64_t n, float k, float *min, float *max),
         (w, n, k, min, max))
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

QK_LOOP (static, quantize_scaled,
         (const float *restrict w, int64_t n, float k,
          const struct qk_qparams *q, int8_t *restrict wq),
         (w, n, k, q, wq))
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
observe_weight (const struct qk_conv *cv, const float *weight,
                struct qk_quantizer *qz, int threads, const float *wk,
                struct conv_weight *w)
{
  const int64_t depth = conv_depth (cv), n = cv->k * depth;
  float *min = (float *) w->sum, *max = (float *) w->size; /* free as yet */

  if (!qk_quantizer_observing (qz))
    return 0;
  if (!qk_quantizer_wants_range (qz))
    return qk_quantizer_observe (qz, wk, (size_t) n);
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (threads > 1 && n > CONV_PARALLEL_MIN)
  for (int64_t i = 0; i < cv->k; i++)
    scaled_range (weight + i * depth, depth, w->k[i], &min[i], &max[i]);
  for (int64_t i = 1; qk_quantizer_channels (qz) == 1 && i < cv->k; i++) {
    /* what is not finite stays */
    min[0] = min[i] >= min[0] ? min[0] : min[i];
    max[0] = max[i] <= max[0] ? max[0] : max[i];
  }
  return qk_quantizer_observe_range (qz, min, max);
}

/* w k for all channels. */
static void
scale_weight (const struct qk_conv *cv, const float *weight, int threads,
              const float *k, float *wk)
{
  const int64_t depth = conv_depth (cv);

#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (threads > 1 && cv->k * depth > CONV_PARALLEL_MIN)
  for (int64_t i = 0; i < cv->k; i++)
    for (int64_t j = 0; j < depth; j++)
      wk[i * depth + j] = weight[i * depth + j] * k[i];
}

bool
conv_weight_simple (struct qk_quantizer *qz)
{
  return qk_quantizer_is_ste (qz)
         && (!qk_quantizer_observing (qz) || qk_quantizer_wants_range (qz));
}

bool
conv_fit_scale (const struct qk_conv *cv, const struct qk_tensor *param,
                struct qk_quantizer *qz, const struct qk_qparams *in_q,
                const float *k, float *scratch)
{
  const bool one = qk_quantizer_channels (qz) == 1;

  if (!in_q)
    return qk_quantizer_raise (qz, NULL);
  for (int64_t i = 0; i < cv->k; i++) {
    const float least
      = qk_least_weight_scale (folded_bias (cv, param, i, k[i]), in_q->scale);

    if (!one || i == 0)
      scratch[i] = least;
    else if (!(least <= scratch[0]))
      scratch[0] = least;
  }
  return qk_quantizer_raise (qz, scratch);
}

int
conv_fold_weight (const struct qk_conv *cv, const struct qk_tensor *param,
                  struct qk_quantizer *qz, const struct qk_qparams *in_q,
                  bool observe, int threads, float *wk, struct conv_weight *w)
{
  const int64_t depth = conv_depth (cv), grids = qk_quantizer_channels (qz);
  const float *weight = param[0].data;
  /* a fake-quantizer of its own kind may reshape w k first */
  const bool plain = qk_quantizer_is_ste (qz);
  const struct qk_qparams *grid;
  int ret;

  if (grids != 1 && grids != cv->k)
    return qk_error (-EINVAL,
                     "%s: the weight's quantizer has %lld channels, expected "
                     "1 or %lld",
                     cv->who, (long long) grids, (long long) cv->k);
  conv_norm_factors (cv, param, w->k, w->sigma);
  if (!conv_weight_simple (qz))
    scale_weight (cv, weight, threads, w->k, wk);
  if (observe && (ret = observe_weight (cv, weight, qz, threads, wk, w)) < 0)
    return ret;
  /* the sums come later */
  conv_fit_scale (cv, param, qz, in_q, w->k, (float *) w->sum);
  if (!plain
      && (ret
          = qk_quantizer_forward_i8 (qz, wk, (size_t) (cv->k * depth), w->wq))
           < 0)
    return ret;
  grid = qk_quantizer_qparams (qz);
#pragma omp parallel for num_threads(threads)                                 \
  schedule(static) if (threads > 1 && cv->k * depth > CONV_PARALLEL_MIN)
  for (int64_t i = 0; i < cv->k; i++) {
    const struct qk_qparams *q = grid + (grids == 1 ? 0 : i);

    w->sw[i] = q->scale;
    if (plain)
      quantize_scaled (weight + i * depth, depth, w->k[i], q,
                       w->wq + i * depth);
    channel_sums (cv, i, w);
  }
  return 0;
}

/* Largest accumulator_bound of K channels. */
QK_LOOP_VALUE (static, double, largest_bound,
               (const double *sum, const double *size, int64_t k,
                const struct qk_qparams *q),
               (sum, size, k, q))
{
  double most = 0.0;

#pragma omp simd reduction(max : most)
  for (int64_t i = 0; i < k; i++) {
    const double bound = accumulator_bound (sum[i], size[i], q);

    most = bound > most ? bound : most;
  }
  return most;
}

/* The first channel of which the sum may leave int32; -ERANGE. */
static int
blame_channel (const struct qk_conv *cv, const struct qk_qparams *in_q,
               const struct conv_weight *w, const int32_t *bias)
{
  double most = 0.0;
  int64_t i;

  for (i = 0; i < cv->k && most < ACC_LIMIT; i++)
    most = channel_bound (w->sum[i], w->size[i], in_q, bias[i]);
  return qk_error (-ERANGE,
                   "%s: the sum of output channel %lld may reach %.0f, too "
                   "much for int32 (limit %.0f)",
                   cv->who, (long long) i - 1, most, ACC_LIMIT);
}

int
conv_fold_bias (const struct qk_conv *cv, const struct qk_tensor *param,
                const struct qk_qparams *in_q, bool batch,
                const struct conv_weight *w, float *real, int32_t *bias,
                bool *i32)
{
  double most;

  memset (bias, 0, (size_t) cv->k * sizeof *bias);
  for (int64_t i = 0; !batch && i < cv->k; i++) {
    real[i] = folded_bias (cv, param, i, w->k[i]);
    if (in_q)
      bias[i] = qk_quantize_bias (real[i], in_q->scale, w->sw[i]);
  }
  *i32 = false;
  if (!in_q)
    return 0;
  most = largest_bound (w->sum, w->size, cv->k, in_q);
  *i32 = most >= CONV_EXACT_LIMIT;
  most = qk_grid_is_wide (in_q) ? 0.0 : most;
  for (int64_t i = 0; !batch && i < cv->k; i++) {
    const double sum = channel_bound (w->sum[i], w->size[i], in_q, bias[i]);

    most = sum > most ? sum : most;
  }
  return most < ACC_LIMIT ? 0 : blame_channel (cv, in_q, w, bias);
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

/* What the conversion of one layer makes. */
struct lowered {
  /* scratch */
  void *numbers; /* behind w, but for w.wq */
  float *wk;
  struct conv_weight w;
  /* for the operation to take, like w.wq: one of the two biases */
  float *real, *m, *sw;
  int32_t *bias;
};

/* ALL: also what an operation would have taken. */
static void
free_lowered (struct lowered *l, bool all)
{
  qk_free (l->numbers);
  qk_free (l->wk);
  if (!all)
    return;
  qk_free (l->w.wq);
  qk_free (l->real);
  qk_free (l->m);
  qk_free (l->sw);
  qk_free (l->bias);
}

/* Fill L for an input on IN_Q, NULL: a float one; after an error it is
 * empty. */
static int
lower_weight (struct qk_conv *cv, const struct qk_layer_io *io,
              const struct qk_qparams *in_q, struct lowered *l)
{
  const size_t k = (size_t) cv->k, n = k * (size_t) conv_depth (cv);
  int ret = -ENOMEM;
  bool i32;

  memset (l, 0, sizeof *l);
  l->numbers = qk_alloc (conv_weight_size (cv, false, false));
  l->wk = qk_alloc (n * sizeof *l->wk);
  l->real = qk_alloc (k * sizeof *l->real);
  l->m = qk_alloc (k * sizeof *l->m);
  l->sw = qk_alloc (k * sizeof *l->sw);
  l->bias = qk_alloc (k * sizeof *l->bias);
  if (l->numbers)
    conv_weight_at (cv, false, false, l->numbers, &l->w);
  l->w.wq = qk_alloc (n);
  if (!l->numbers || !l->wk || !l->real || !l->m || !l->sw || !l->bias
      || !l->w.wq) {
    qk_error (ret, "%s: out of memory", cv->who);
    goto error;
  }
  ret = conv_fold_weight (cv, io->param, io->weight_qz, in_q, false, 1, l->wk,
                          &l->w);
  if (ret == 0)
    ret = conv_fold_bias (cv, io->param, in_q, false, &l->w, l->real, l->bias,
                          &i32);
  if (ret == 0)
    return 0;

error:
  free_lowered (l, true);
  return ret;
}

/* Weight and bias of an operation whose input is put on a grid anew in each
 * call. */
static int
lower_dynamic (struct qk_conv *cv, const struct qk_layer_io *io,
               struct qk_op *op)
{
  struct lowered l;
  int ret;

  if (!cv->flat || !io->weight_qz || cv->clamp || io->out->q.scale > 0.0f)
    return qk_error (-ENOTSUP, "%s: no dynamic form", cv->who);
  if ((ret = lower_weight (cv, io, NULL, &l)) < 0)
    return ret;
  memcpy (l.m, l.w.sw, (size_t) cv->k * sizeof *l.m);
  op->kind = QK_OP_LINEAR_DYNAMIC;
  op->in_channels = cv->c;
  op->out_channels = cv->k;
  op->weight = l.w.wq;
  op->real_bias = l.real;
  op->multiplier = l.m;
  qk_free (l.bias);
  qk_free (l.sw);
  free_lowered (&l, false);
  return 0;
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
      const float sigma = sqrtf (bn_param (cv, param, QK_BN_VAR)[i] + cv->eps);

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
      return qk_oom ("%s", cv->who);
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
  const struct qk_qparams *in_q = &io->in[0].q, *out_q = &io->out->q;
  struct lowered l;
  int ret;

  if (io->in[0].dtype == QK_F32)
    return lower_dynamic (cv, io, op);
  if (!io->weight_qz || !(in_q->scale > 0.0f))
    return qk_error (-ENOTSUP, "%s: %s is not quantized", cv->who,
                     io->weight_qz ? "the input" : "the weight");
  if (cv->clamp && !(out_q->scale > 0.0f))
    return qk_error (-ENOTSUP, "%s: a clamp needs a quantized output",
                     cv->who);
  if ((ret = lower_weight (cv, io, in_q, &l)) < 0)
    return ret;
  qk_conv_geometry (cv, op);
  op->lo = op->hi = 0;
  if (out_q->scale > 0.0f)
    qk_clamp_bounds (out_q, cv->lo, cv->hi, &op->lo, &op->hi);
  for (int64_t i = 0; i < cv->k; i++)
    l.m[i] = out_q->scale > 0.0f
               ? qk_multiplier (in_q->scale, l.w.sw[i], out_q->scale)
               : in_q->scale * l.w.sw[i];
  op->weight = l.w.wq;
  op->bias = l.bias;
  op->multiplier = l.m;
  op->weight_scale = l.sw;
  op->weight_scales = qk_quantizer_channels (io->weight_qz) > 1 ? cv->k : 1;
  memcpy (l.sw, l.w.sw, (size_t) op->weight_scales * sizeof *l.sw);
  qk_free (l.real);
  free_lowered (&l, false);
  return 0;
}
