/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* normalized.c: weights of zero mean and one variance, clipped at a learned level
 * and rounded on a uniform grid (Li, Dong and Wang 2020, arXiv:1909.13144, section
 * 3, there for grids of powers of two).
 *
 * With mean m and standard deviation d of all weights of the layer, u = (w - m) / d,
 *   t (w) = S u,   q = rne (t / s),   clip level s qmax / S deviations
 * S is d of the first batch, so that a trained network keeps the size of its
 * weights, or 1 as in the paper; it stays, d does not.  The scale s of each channel
 * is learned.  With v = t / s, r = rne (v), G = dy inside and 0 elsewhere:
 *   ds += g dy qmin below, g dy qmax above, g dy (r - v) inside,
 *                                            g = 1 / sqrt (n qmax), or 1
 *   dw  = S / d (G - mean (G) - u mean (G u))
 * the means over all weights.  In the paper m and d are the layer's as well,
 * whatever the scales are of.
 *
 * Taking m away changes what the layer computes, which batch-norm behind it makes
 * good.  With center = no, for layers without one, m is 0, d the root of the mean
 * square, and mean (G) is left out. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/fakequant.h>
#include <qatkit/numeric.h>

#ifdef _OPENMP
#define SIMD _Pragma ("omp simd")
#else
#define SIMD
#endif

/* Steps are kept above this, PyTorch's smallest scale. */
#define NORMALIZED_EPS 1.1920928955078125e-07f

/* Sums are added up in so many lanes, the same on every CPU. */
#define LANES 16

/* The search for the level of the least error: so many fractions of the largest
 * weight, on so many weights of a channel, evenly spread. */
#define TRIED 64
#define LOOKED 32768

struct normalized {
  size_t channels;
  int32_t qmin, qmax;
  bool unit, plain, center;
  float alpha;
  float size; /* S; 0: not known yet */
};

static const char *const sizes[] = { "first", "unit", NULL };
static const char *const gradients[] = { "scaled", "plain", NULL };

static const struct qk_option normalized_options[] = {
  { "alpha", QK_OPT_FLOAT, "0", 0, 1e6, NULL,
    "Clip level at first, in standard deviations (3 in the paper); 0 = that "
    "of "
    "the least squared error" },
  { "size", QK_OPT_CHOICE, "first", 0, 0, sizes,
    "Deviation of the normalized weights: that of the weights at first, or "
    "1" },
  { "center", QK_OPT_BOOL, "yes", 0, 0, NULL,
    "Whether the mean is taken away; no for layers without batch-norm" },
  { "gradient", QK_OPT_CHOICE, "scaled", 0, 0, gradients,
    "Gradient of the scale: times 1 / sqrt (elements qmax), or as it is" },
  { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL }
};

static int
normalized_create (const struct qk_config *cfg,
                   const struct qk_quant_info *info, void **self)
{
  struct normalized *n;

  if (!info->weight)
    return qk_error (-EINVAL,
                     "normalized is for weights, not activations; use pact, "
                     "lsq or affine for activations");
  if ((n = qk_alloc (sizeof *n)) == NULL)
    return qk_oom ("normalized");
  n->channels = (size_t) info->channels;
  n->qmin = info->qmin;
  n->qmax = info->qmax;
  n->unit = strcmp (qk_config_string (cfg, "size"), "unit") == 0;
  n->center = qk_config_bool (cfg, "center");
  n->plain = strcmp (qk_config_string (cfg, "gradient"), "plain") == 0;
  n->alpha = (float) qk_config_float (cfg, "alpha");
  *self = n;
  return 0;
}

static void
normalized_destroy (void *self)
{
  qk_free (self);
}

static int
normalized_params (void *self, struct qk_fq_param *out)
{
  const struct normalized *n = self;

  out[0].name = "scale";
  out[0].count = n->channels;
  out[0].initial = 1.0f;
  return 1;
}

/* ---- the layer's weights ----------------------------------------------------*/

struct moments {
  double mean, deviation;
};

static double
sum_of_lanes (const double *lane)
{
  double sum = 0.0;

  for (int j = 0; j < LANES; j++)
    sum += lane[j];
  return sum;
}

static double
mean_of (const float *x, size_t n)
{
  double lane[LANES] = { 0.0 };
  size_t i = 0;

  for (; i + LANES <= n; i += LANES) {
    SIMD for (size_t j = 0; j < LANES; j++) lane[j] += (double) x[i + j];
  }
  for (size_t j = 0; i < n; i++, j++)
    lane[j] += (double) x[i];
  return sum_of_lanes (lane) / (double) n;
}

static struct moments
moments_of (const struct normalized *f, const float *x, size_t n)
{
  struct moments m = { .mean = f->center ? mean_of (x, n) : 0.0 };
  double lane[LANES] = { 0.0 };
  size_t i = 0;

  for (; i + LANES <= n; i += LANES) {
    SIMD for (size_t j = 0; j < LANES; j++)
    {
      const double d = (double) x[i + j] - m.mean;

      lane[j] += d * d;
    }
  }
  for (size_t j = 0; i < n; i++, j++) {
    const double d = (double) x[i] - m.mean;

    lane[j] += d * d;
  }
  m.deviation = sqrt (sum_of_lanes (lane) / (double) n);
  return m;
}

/* What weights, less their mean, are multiplied by; 0 where all are equal. */
static double
factor_of (const struct normalized *n, const struct moments *m)
{
  if (!(m->deviation > 0.0))
    return 0.0;
  return n->size > 0.0f ? (double) n->size / m->deviation : 1.0;
}

/* t of one weight. */
static inline float
normal (float x, double mean, double factor)
{
  return (float) (((double) x - mean) * factor);
}

static int
normalized_transform (void *self, const float *x, size_t n, float *y)
{
  const struct normalized *f = self;
  const struct moments m = moments_of (f, x, n);
  const double factor = factor_of (f, &m);

#ifdef _OPENMP
#pragma omp parallel for simd schedule(static) if (n > 32768)
#endif
  for (size_t i = 0; i < n; i++)
    y[i] = normal (x[i], m.mean, factor);
  return 0;
}

static double
squared_error (const struct normalized *f, const float *x, size_t n,
               const struct moments *m, double factor, float s)
{
  const size_t step = n / LOOKED + 1;
  const float inv = 1.0f / s;
  double sum = 0.0;

  for (size_t i = 0; i < n; i += step) {
    const float t = normal (x[i], m->mean, factor);
    const int32_t q = qk_quantize (t, inv, 0, f->qmin, f->qmax);
    const double d = (double) t - (double) qk_dequantize (q, s, 0);

    sum += d * d;
  }
  return sum;
}

/* The scale of the least squared error for a channel. */
static float
best_scale (const struct normalized *f, const float *x, size_t n,
            const struct moments *m, double factor)
{
  double most = 0.0, least = INFINITY;
  float best = NORMALIZED_EPS;

  for (size_t i = 0; i < n; i++)
    most = fmax (most, fabs ((double) normal (x[i], m->mean, factor)));
  for (int i = TRIED; i > 0; i--) {
    const float s = (float) (most * i / TRIED / f->qmax);
    const double e = s < NORMALIZED_EPS
                       ? (double) INFINITY
                       : squared_error (f, x, n, m, factor, s);

    if (e < least) {
      least = e;
      best = s;
    }
  }
  return best;
}

static int
normalized_init (void *self, struct qk_fq_params *p, const float *x, size_t n)
{
  struct normalized *f = self;
  const struct moments m = moments_of (f, x, n);
  const size_t block = n / f->channels;

  f->size = f->unit || !(m.deviation > 0.0) ? 1.0f : (float) m.deviation;
  for (size_t c = 0; c < f->channels; c++)
    p->value[0][c] = f->alpha > 0.0f ? f->alpha * f->size / (float) f->qmax
                                     : best_scale (f, x + c * block, block, &m,
                                                   factor_of (f, &m));
  return 0;
}

/* ---- the grid, and gradients ------------------------------------------------*/

static int
normalized_qparams (void *self, const struct qk_fq_params *p, const float *min,
                    const float *max, struct qk_qparams *out)
{
  const struct normalized *f = self;

  (void) min;
  (void) max;
  for (size_t c = 0; c < f->channels; c++) {
    const float s = p->value[0][c];

    /* NaN passes, so that the library refuses it */
    out[c].scale = s < NORMALIZED_EPS ? NORMALIZED_EPS : s;
    out[c].zero_point = 0;
  }
  return 0;
}

/* Sums over the weights of a channel: G, G t, and dy by the scale. */
struct sums {
  double g, gt, scale;
};

static void
channel_sums (const struct qk_qparams *q, const struct moments *m,
              double factor, const float *x, const float *dy, size_t n,
              struct sums *out)
{
  const float inv = 1.0f / q->scale;
  const float lo = (float) q->qmin, hi = (float) q->qmax;

  memset (out, 0, sizeof *out);
  for (size_t i = 0; i < n; i++) {
    const float t = normal (x[i], m->mean, factor);
    const float v = t * inv, r = qk_rne (v);
    const double g = (double) dy[i];

    if (r >= lo && r <= hi) {
      out->g += g;
      out->gt += g * (double) t;
      out->scale += g * (double) (r - v);
    } else
      out->scale += g * (double) (r < lo ? lo : hi);
  }
}

static void
channel_gradient (const struct qk_qparams *q, const struct moments *m,
                  double factor, const struct sums *mean, const float *x,
                  const float *dy, size_t n, float *dx)
{
  const float inv = 1.0f / q->scale;
  const float lo = (float) q->qmin, hi = (float) q->qmax;

  for (size_t i = 0; i < n; i++) {
    const float t = normal (x[i], m->mean, factor), r = qk_rne (t * inv);
    const double g = r >= lo && r <= hi ? (double) dy[i] : 0.0;

    dx[i] = (float) (factor * (g - mean->g - (double) t * mean->gt));
  }
}

static int
normalized_backward (void *self, const struct qk_fq_params *p,
                     const struct qk_qparams *q, const float *x,
                     const float *dy, float *dx, size_t n)
{
  const struct normalized *f = self;
  const size_t block = n / f->channels;
  const struct moments m = moments_of (f, x, n);
  const double factor = factor_of (f, &m);
  const double size = factor * m.deviation; /* of t */
  const double by = f->plain
                      ? 1.0
                      : 1.0
                          / sqrt ((double) p->whole / (double) f->channels
                                  * (double) f->qmax);
  struct sums mean = { 0.0, 0.0, 0.0 };
  struct sums *sum = qk_alloc (f->channels * sizeof *sum);

  if (sum == NULL)
    return qk_oom ("normalized");
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (n > 32768)
#endif
  for (size_t c = 0; c < f->channels; c++)
    channel_sums (&q[c], &m, factor, x + c * block, dy + c * block, block,
                  &sum[c]);
  for (size_t c = 0; c < f->channels; c++) {
    mean.g += f->center ? sum[c].g / (double) n : 0.0;
    mean.gt += sum[c].gt / (double) n;
    p->grad[0][c] += (float) (by * sum[c].scale);
  }
  /* u mean (G u) = t mean (G t) / size^2 */
  mean.gt = size > 0.0 ? mean.gt / (size * size) : 0.0;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (n > 32768)
#endif
  for (size_t c = 0; c < f->channels; c++)
    channel_gradient (&q[c], &m, factor, &mean, x + c * block, dy + c * block,
                      block, dx + c * block);
  qk_free (sum);
  return 0;
}

/* The clip level stays. */
static int
normalized_change_bits (void *self, struct qk_fq_params *p,
                        const struct qk_quant_info *old)
{
  const struct normalized *f = self;

  for (size_t c = 0; c < f->channels; c++)
    p->value[0][c] = (float) ((double) p->value[0][c] * old->qmax / f->qmax);
  return 0;
}

static int
normalized_state (void *self, struct qk_state *st)
{
  struct normalized *f = self;

  return qk_state_add (st, "size", QK_F32, &f->size, 1);
}

static const struct qk_fakequant_class normalized = {
  .cls = QK_CLASS (struct qk_fakequant_class, QK_KIND_FAKEQUANT, "normalized",
                   "Weights of zero mean and one variance, learned clip level",
                   normalized_options),
  .create = normalized_create,
  .destroy = normalized_destroy,
  .params = normalized_params,
  .init = normalized_init,
  .qparams = normalized_qparams,
  .transform = normalized_transform,
  .backward = normalized_backward,
  .state = normalized_state,
  .change_bits = normalized_change_bits,
};

QK_PLUGIN ("normalized", "1.0", "LGPL-2.1-or-later", &normalized.cls);
