/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* numeric.h: the numeric contract, one inline function per formula.
 *
 * Training in fake-quantized form and every int8 backend use these very
 * functions (or vector forms tested to give the same bytes).  All arithmetic
 * is IEEE binary32 in the order written, round to nearest even; compile with
 * -ffp-contract=off and without fast-math.
 */
#ifndef QATKIT_NUMERIC_H
#define QATKIT_NUMERIC_H

#include <float.h>
#include <math.h>

#include "elementary.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Round half to even to an integer-valued float, as nearbyintf in the
 * default rounding mode. */
static inline float
qk_rne (float x)
{
  return rintf (x);
}

/* clamp (r + zp, lo, hi) where r is an already rounded float.  The clamp is
 * done in float before the conversion, so that no value is out of int's
 * range; exact because |zp|, |lo|, |hi| <= 65535.  NaN gives lo. */
static inline int32_t
qk_clamp_rounded (float r, int32_t zp, int32_t lo, int32_t hi)
{
  const float flo = (float) (lo - zp), fhi = (float) (hi - zp);

  r = r > flo ? r : flo;
  r = r < fhi ? r : fhi;
  return (int32_t) r + zp;
}

/* Quantize a real number: q = clamp (rne (x * inv_scale) + zp, lo, hi), with
 * inv_scale = 1.0f / scale computed once by the caller. */
static inline int32_t
qk_quantize (float x, float inv_scale, int32_t zp, int32_t lo, int32_t hi)
{
  return qk_clamp_rounded (qk_rne (x * inv_scale), zp, lo, hi);
}

static inline float
qk_dequantize (int32_t q, float scale, int32_t zp)
{
  return (float) (q - zp) * scale;
}

/* Bias of a convolution or linear layer on the accumulator's grid:
 * rne (b / (s_in * s_w)), clamped to +-2^30 so that adding it cannot
 * overflow together with a bounded accumulator. */
static inline int32_t
qk_quantize_bias (float b, float s_in, float s_w)
{
  const float limit = 1073741824.0f;
  float r = qk_rne (b / (s_in * s_w));

  r = r > -limit ? r : -limit;
  r = r < limit ? r : limit;
  return (int32_t) r;
}

/* The smallest scale of a weight with which the bias B fits into
 * qk_quantize_bias, and s_in * s_w is a normal number. */
static inline float
qk_least_weight_scale (float b, float s_in)
{
  const float fits = fabsf (b) / (s_in * 1073741824.0f);
  const float normal = FLT_MIN / s_in;

  return fits > normal ? fits : normal;
}

/* Multiplier of an output channel, M = (s_in * s_w) / s_out. */
static inline float
qk_multiplier (float s_in, float s_w, float s_out)
{
  return (s_in * s_w) / s_out;
}

/* Output of a convolution or linear layer; acc already includes the bias.
 * ReLU and ReLU6 are the clamp: see qk_clamp_bounds. */
static inline int32_t
qk_requantize (int32_t acc, float multiplier, int32_t zp, int32_t lo,
               int32_t hi)
{
  return qk_clamp_rounded (qk_rne ((float) acc * multiplier), zp, lo, hi);
}

/* The same where the input has more than 8 bits: the sum, bias included, is
 * exact in 64 bits and rounded to float once. */
static inline int32_t
qk_requantize_wide (int64_t acc, float multiplier, int32_t zp, int32_t lo,
                    int32_t hi)
{
  return qk_clamp_rounded (qk_rne ((float) acc * multiplier), zp, lo, hi);
}

/* Output of a layer whose result stays float:
 * (float) acc * (s_in * s_w). */
static inline float
qk_dequantize_acc (int32_t acc, float s_in, float s_w)
{
  return (float) acc * (s_in * s_w);
}

/* Integer bounds of a clamp of real values to [clo, chi] on the grid Q:
 * the quantized bounds, within qmin and qmax.  Infinite bounds stand for "no
 * bound". */
static inline void
qk_clamp_bounds (const struct qk_qparams *q, float clo, float chi, int32_t *lo,
                 int32_t *hi)
{
  const float inv = 1.0f / q->scale;

  *lo = qk_quantize (clo, inv, q->zero_point, q->qmin, q->qmax);
  *hi = qk_quantize (chi, inv, q->zero_point, q->qmin, q->qmax);
}

/* Functions of two tensors, element by element. */
enum qk_function {
  QK_ADD = 0,
  QK_SUB = 1,
  QK_MUL = 2,
  QK_DIV = 3,
  QK_MAX = 4,
  QK_MIN = 5
};
#define QK_FUNCTIONS 6

/* "add", …; NULL for an unknown value. */
static inline const char *
qk_function_name (int function)
{
  static const char *const names[QK_FUNCTIONS]
    = { "add", "sub", "mul", "div", "max", "min" };

  return function >= 0 && function < QK_FUNCTIONS ? names[function] : NULL;
}

static inline float
qk_function_real (int function, float x, float y)
{
  return function == QK_ADD   ? x + y
         : function == QK_SUB ? x - y
         : function == QK_MUL ? x * y
         : function == QK_DIV ? x / y
         : function == QK_MAX ? (x > y ? x : y)
                              : (x < y ? x : y);
}

/* A function f of two quantized numbers:
 * c = f (s_a * (a - z_a), s_b * (b - z_b)); clamp (rne (c * inv) + zp, lo, hi)
 * with inv = 1.0f / s_out. */
static inline int32_t
qk_binary_quantized (int function, int32_t a, const struct qk_qparams *qa,
                     int32_t b, const struct qk_qparams *qb, float inv,
                     int32_t zp, int32_t lo, int32_t hi)
{
  const float x = (float) (a - qa->zero_point) * qa->scale;
  const float y = (float) (b - qb->zero_point) * qb->scale;

  return qk_quantize (qk_function_real (function, x, y), inv, zp, lo, hi);
}

/* Move a quantized number to another grid (concat, requantize). */
static inline int32_t
qk_regrid (int32_t a, const struct qk_qparams *qa, float inv, int32_t zp,
           int32_t lo, int32_t hi)
{
  return qk_quantize ((float) (a - qa->zero_point) * qa->scale, inv, zp, lo,
                      hi);
}

/* Average pooling keeps its input's grid: SUM is the exact sum of (a - z)
 * over the COUNT elements that count, |SUM| < 2^24. */
static inline int32_t
qk_mean_quantized (int32_t sum, int32_t count, int32_t zp, int32_t lo,
                   int32_t hi)
{
  return qk_clamp_rounded (qk_rne ((float) sum / (float) count), zp, lo, hi);
}

/* A number between the elements of a sample: the sum over ROWS and COLS taps of
 * a[i] b[j] (x[row[i] + col[j]] - zp), columns before rows and both in their
 * order, all in float.  The grid stays that of the input. */
static inline int32_t
qk_resample_quantized (const uint8_t *x, const int64_t *row, const float *a,
                       int rows, const int64_t *col, const float *b, int cols,
                       int32_t zp, int32_t lo, int32_t hi)
{
  float sum = 0.0f;
  int i, j;

  for (i = 0; i < rows; i++) {
    float part = 0.0f;

    for (j = 0; j < cols; j++)
      part += b[j] * (float) ((int32_t) x[row[i] + col[j]] - zp);
    sum += a[i] * part;
  }
  return qk_clamp_rounded (qk_rne (sum), zp, lo, hi);
}

/* One number out of those along some axes.  The mean is qk_mean_quantized, on
 * the input's grid; the largest and the smallest are those of the integers.
 * The sum is qk_requantize of the exact sum of (a - z) with the multiplier
 * qk_multiplier (s_in, 1.0f, s_out). */
enum qk_reduction { QK_MEAN = 0, QK_SUM = 1, QK_LARGEST = 2, QK_SMALLEST = 3 };
#define QK_REDUCTIONS 4

/* "mean", …; NULL for an unknown value. */
static inline const char *
qk_reduction_name (int function)
{
  static const char *const names[QK_REDUCTIONS]
    = { "mean", "sum", "max", "min" };

  return function >= 0 && function < QK_REDUCTIONS ? names[function] : NULL;
}

/* Most elements whose sum of bytes is exact: as float for the mean, in int32
 * for the sum. */
#define QK_MOST_MEAN (((1 << 24) - 1) / 255)
#define QK_MOST_SUM (INT32_MAX / 255)

/* A rectifier with a slope for negative numbers: ABOVE is the multiplier
 * qk_multiplier (s_in, 1.0f, s_out), BELOW that of the slope,
 * qk_multiplier (s_in, slope, s_out). */
static inline int32_t
qk_prelu_quantized (int32_t a, int32_t z, float above, float below, int32_t zp,
                    int32_t lo, int32_t hi)
{
  return qk_requantize (a - z, a > z ? above : below, zp, lo, hi);
}

/* Multiplier of a product of two activations, with the FACTOR that the
 * network multiplies it by: M = ((s_a * s_b) * factor) / s_out. */
static inline float
qk_product_multiplier (float s_a, float s_b, float factor, float s_out)
{
  return ((s_a * s_b) * factor) / s_out;
}

/* ---- softmax -----------------------------------------------------------
 * Of the integers q along an axis, of which the largest is m: with d = m - q
 * and the exact sum of qk_softmax_term (d) over the axis,
 * y = qk_softmax_real (d, sum); clamp (rne (y * inv) + zp, lo, hi). */

enum qk_softmax { QK_SOFTMAX = 0, QK_LOG_SOFTMAX = 1 };
#define QK_SOFTMAXES 2

/* e^(-d s) in units of 2^-30, 0 <= d <= 255. */
static inline int32_t
qk_softmax_term (int32_t d, float scale)
{
  return (int32_t) qk_rne (qk_exp (-(float) d * scale) * 1073741824.0f);
}

static inline float
qk_softmax_real (int function, int32_t d, int64_t sum, float scale)
{
  return function == QK_LOG_SOFTMAX
           ? -(float) d * scale - qk_ln ((float) sum * (1.0f / 1073741824.0f))
           : (float) qk_softmax_term (d, scale) / (float) sum;
}

/* ---- normalisation -----------------------------------------------------
 * Of COUNT integers q with zero point z and scale s, at most QK_NORM_COUNT:
 * the exact sums of (q - z) and (q - z)^2 give the mean in units of the scale
 * (0 if it is not subtracted) and the factor s / sqrt (variance + eps), in
 * double; y = qk_norm_real (q - z, …); clamp (rne (y * inv) + zp, lo, hi). */

struct qk_norm {
  float mean, factor;
};

static inline struct qk_norm
qk_norm_of (int64_t count, int64_t sum, int64_t squares, float scale,
            float eps, bool centered)
{
  const double n = (double) count, s = (double) scale;
  const int64_t spread = centered ? count * squares - sum * sum : squares;
  const double variance
    = (centered ? (double) spread / (n * n) : (double) spread / n) * (s * s);
  const double root = sqrt (variance + (double) eps);
  struct qk_norm result;

  result.mean = centered ? (float) ((double) sum / n) : 0.0f;
  result.factor = (float) (s / root);
  return result;
}

/* X: an integer less its zero point, or a real number. */
static inline float
qk_norm_real (float x, struct qk_norm n, float gamma, float beta)
{
  return ((x - n.mean) * n.factor) * gamma + beta;
}

/* ---- local response normalisation --------------------------------------
 * X is the number, SQUARES the sum of the squares of those around it:
 * d = offset + share * squares with share = alpha / size, y = x d^-power.  On
 * a grid x = (q - z) * s, and squares = (float) sum (q - z)^2 * (s * s). */
static inline float
qk_lrn_real (float x, float squares, float share, float power, float offset)
{
  return x * qk_exp (-power * qk_ln (offset + share * squares));
}

/* The grid LO..HI for numbers between MIN and MAX, as PyTorch chooses it in
 * each call of a dynamic layer (ChooseQuantizationParams in QuantUtils.h):
 * in double, with a scale of at least 6.1e-5, and 0.1 where all is 0. */
static inline struct qk_qparams
qk_dynamic_grid (float min, float max, int32_t lo, int32_t hi)
{
  const float least = 6.1e-5f;
  struct qk_qparams q = { 0.0f, lo, lo, hi };
  double scale, below, above, from_min, from_max;

  min = min < 0.0f ? min : 0.0f;
  max = max > 0.0f ? max : 0.0f;
  scale = ((double) max - (double) min) / (hi - lo);
  if ((float) scale == 0.0f || isinf (1.0f / (float) scale))
    scale = 0.1;
  if (scale < (double) least) {
    const float grow = least / (float) scale;

    scale = (double) least;
    if (min == 0.0f)
      max = least * (float) (hi - lo);
    else if (max == 0.0f)
      min = -least * (float) (hi - lo);
    else {
      min *= grow;
      max *= grow;
    }
  }
  below = (double) min / scale;
  above = (double) max / scale;
  from_min = lo - below;
  from_max = hi - above;
  if (fabs ((double) lo) - fabs (below) >= fabs ((double) hi) - fabs (above))
    from_min = from_max;
  q.scale = (float) scale;
  if (from_min > hi)
    q.zero_point = hi;
  else if (from_min > lo)
    q.zero_point = (int32_t) rint (from_min);
  return q;
}

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_NUMERIC_H */
