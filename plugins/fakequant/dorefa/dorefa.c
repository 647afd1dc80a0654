/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dorefa.c: weights through tanh, then on the grid (Zhou et al. 2016,
 * arXiv:1606.06160).
 *
 *   t (w) = s tanh (w) / max |tanh (w)|,   dw = dy s (1 - tanh^2 (w))
 *                                               / max |tanh (w)|
 * with the maxima of each channel, taken as constants.  s is 1 in the paper,
 * for networks trained from scratch; by default it is max |w|, so that a
 * trained network keeps the size of its weights.  The grid is symmetric and
 * has 0: scale = s / qmax (the paper's has qmax - qmin steps without 0, which
 * no int8 kernel computes); s is what the observer last saw, and where it is
 * frozen weights beyond it are clipped and get no gradient. */
#include "config.h"

#include <math.h>

#include <qatkit/fakequant.h>
#include <qatkit/numeric.h>

#define DOREFA_EPS 1.1920928955078125e-07f

struct dorefa {
  int64_t channels;
  int32_t qmax;
  bool unit;
};

static const char *const dorefa_normalize[] = { "max", "unit", NULL };

static const struct qk_option dorefa_options[]
  = { { "normalize", QK_OPT_CHOICE, "max", 0, 0, dorefa_normalize,
        "Largest magnitude after tanh: that of the weights, or 1." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
dorefa_create (const struct qk_config *cfg, const struct qk_quant_info *info,
               void **self)
{
  struct dorefa *d;

  if (!info->weight)
    return qk_error (-EINVAL,
                     "dorefa is for weights, not activations; use pact, "
                     "lsq or affine for activations");
  d = qk_alloc (sizeof *d);
  if (d == NULL)
    return qk_oom ("dorefa");
  d->channels = info->channels;
  d->qmax = info->qmax;
  d->unit = qk_config_string (cfg, "normalize")[0] == 'u';
  *self = d;
  return 0;
}

static void
dorefa_destroy (void *self)
{
  qk_free (self);
}

/* s / max |tanh (w)| of one channel; 1 where all weights are 0. */
static float
dorefa_factor (const struct dorefa *d, const float *w, size_t n)
{
  float most = 0.0f;

  for (size_t i = 0; i < n; i++) {
    const float a = fabsf (w[i]);

    most = a > most ? a : most;
  }
  if (most == 0.0f)
    return 1.0f;
  return (d->unit ? 1.0f : most) / tanhf (most);
}

static int
dorefa_transform (void *self, const float *x, size_t n, float *y)
{
  const struct dorefa *d = self;
  const size_t block = n / (size_t) d->channels;

#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (n > 32768)
#endif
  for (int64_t c = 0; c < d->channels; c++) {
    const float *w = x + (size_t) c * block;
    const float factor = dorefa_factor (d, w, block);

    for (size_t i = 0; i < block; i++)
      y[(size_t) c * block + i] = factor * tanhf (w[i]);
  }
  return 0;
}

static int
dorefa_qparams (void *self, const struct qk_fq_params *p, const float *min,
                const float *max, struct qk_qparams *out)
{
  const struct dorefa *d = self;

  (void) p;
  for (int64_t c = 0; c < d->channels; c++) {
    float s = 1.0f;

    if (!d->unit && min != NULL)
      s = -min[c] > max[c] ? -min[c] : max[c];
    s /= (float) d->qmax;
    out[c].scale = s < DOREFA_EPS ? DOREFA_EPS : s;
    out[c].zero_point = 0;
  }
  return 0;
}

static int
dorefa_backward (void *self, const struct qk_fq_params *p,
                 const struct qk_qparams *q, const float *x, const float *dy,
                 float *dx, size_t n)
{
  const struct dorefa *d = self;
  const size_t block = n / (size_t) d->channels;

  (void) p;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (n > 32768)
#endif
  for (int64_t c = 0; c < d->channels; c++) {
    const size_t start = (size_t) c * block;
    const float factor = dorefa_factor (d, x + start, block);
    const float inv = 1.0f / q[c].scale;

    for (size_t i = start; i < start + block; i++) {
      const float t = tanhf (x[i]), r = qk_rne (factor * t * inv);
      const bool inside = r >= (float) q[c].qmin && r <= (float) q[c].qmax;

      dx[i] = inside ? dy[i] * (factor * (1.0f - t * t)) : 0.0f;
    }
  }
  return 0;
}

static const struct qk_fakequant_class dorefa = {
  .cls = QK_CLASS (struct qk_fakequant_class, QK_KIND_FAKEQUANT, "dorefa",
                   "Weights through tanh, then rounded", dorefa_options),
  .create = dorefa_create,
  .destroy = dorefa_destroy,
  .qparams = dorefa_qparams,
  .transform = dorefa_transform,
  .backward = dorefa_backward,
};

QK_PLUGIN ("dorefa", "1.0", "LGPL-2.1-or-later", &dorefa.cls);
