/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lsq.c: learned step size (Esser et al. 2020, arXiv:1902.08153).
 *
 * The scale s of each channel is a parameter.  With v = x / s, r = rne (v):
 *   ds += g dy (qmin - zp)  where r + zp < qmin
 *         g dy (qmax - zp)  where r + zp > qmax
 *         g dy (r - v)      elsewhere,     g = 1 / sqrt (n qp)
 *   dx  = dy                where qmin <= r + zp <= qmax, else 0
 * n elements a channel in the whole batch, qp = max (qmax - zp, zp - qmin)
 * (the paper's Q_P, as zp is qmin or 0 there).  At first
 * s = 2 mean |x| / sqrt (qp); the zero_point of activations comes from the
 * range of the first batch and stays. */
#include "config.h"

#include <math.h>

#include <qatkit/fakequant.h>
#include <qatkit/numeric.h>

/* Steps are kept above this, PyTorch's smallest scale. */
#define LSQ_EPS 1.1920928955078125e-07f

struct lsq {
  size_t channels;
  bool symmetric;
  int32_t qmin, qmax;
  int32_t zero_point;
};

static int
lsq_create (const struct qk_config *cfg, const struct qk_quant_info *info,
            void **self)
{
  struct lsq *l = qk_alloc (sizeof *l);

  (void) cfg;
  if (l == NULL)
    return qk_oom ("lsq");
  l->channels = (size_t) info->channels;
  l->symmetric = info->symmetric;
  l->qmin = info->qmin;
  l->qmax = info->qmax;
  l->zero_point = info->qmin > 0 ? info->qmin : 0;
  *self = l;
  return 0;
}

static void
lsq_destroy (void *self)
{
  qk_free (self);
}

static int
lsq_params (void *self, struct qk_fq_param *out)
{
  const struct lsq *l = self;

  out[0].name = "scale";
  out[0].count = l->channels;
  out[0].initial = 1.0f;
  return 1;
}

static double
lsq_qp (const struct lsq *l)
{
  const int32_t above = l->qmax - l->zero_point;
  const int32_t below = l->zero_point - l->qmin;

  return above > below || l->symmetric ? above : below;
}

static int
lsq_init_zero_point (struct lsq *l, const float *x, size_t n)
{
  struct qk_qparams q = { 1.0f, 0, l->qmin, l->qmax };
  float min = 0.0f, max = 0.0f;
  int r;

  for (size_t i = 0; i < n; i++) {
    min = x[i] < min ? x[i] : min;
    max = x[i] > max ? x[i] : max;
  }
  r = qk_calculate_qparams (min, max, l->symmetric, &q);
  if (r == 0)
    l->zero_point = q.zero_point;
  return r;
}

static int
lsq_init (void *self, struct qk_fq_params *p, const float *x, size_t n)
{
  struct lsq *l = self;
  const size_t block = n / l->channels;
  const int r = lsq_init_zero_point (l, x, n);

  if (r < 0)
    return r;
  for (size_t c = 0; c < l->channels; c++) {
    double sum = 0.0;

    for (size_t i = 0; i < block; i++)
      sum += fabs ((double) x[c * block + i]);
    p->value[0][c] = (float) (2.0 * sum / (double) block / sqrt (lsq_qp (l)));
  }
  return 0;
}

static int
lsq_qparams (void *self, const struct qk_fq_params *p, const float *min,
             const float *max, struct qk_qparams *out)
{
  const struct lsq *l = self;

  (void) min;
  (void) max;
  for (size_t c = 0; c < l->channels; c++) {
    const float s = p->value[0][c];

    /* NaN passes, so that the library refuses it */
    out[c].scale = s < LSQ_EPS ? LSQ_EPS : s;
    out[c].zero_point = l->zero_point;
  }
  return 0;
}

static int
lsq_backward (void *self, const struct qk_fq_params *p,
              const struct qk_qparams *q, const float *x, const float *dy,
              float *dx, size_t n)
{
  const struct lsq *l = self;
  const size_t block = n / l->channels;
  const size_t whole = p->whole / l->channels;
  const double g = 1.0 / sqrt ((double) whole * lsq_qp (l));

  for (size_t c = 0; c < l->channels; c++) {
    const float inv = 1.0f / q[c].scale;
    const float lo = (float) (q[c].qmin - q[c].zero_point);
    const float hi = (float) (q[c].qmax - q[c].zero_point);
    double sum = 0.0;

    for (size_t i = c * block; i < (c + 1) * block; i++) {
      const float v = x[i] * inv;
      const float r = qk_rne (v);
      const bool inside = r >= lo && r <= hi;
      const float d = inside ? r - v : r < lo ? lo : hi;

      sum += (double) dy[i] * (double) d;
      dx[i] = inside ? dy[i] : 0.0f;
    }
    p->grad[0][c] += (float) (g * sum);
  }
  return 0;
}

static int
lsq_state (void *self, struct qk_state *st)
{
  struct lsq *l = self;

  return qk_state_add (st, "zero_point", QK_I32, &l->zero_point, 1);
}

static const struct qk_fakequant_class lsq = {
  .cls = QK_CLASS (struct qk_fakequant_class, QK_KIND_FAKEQUANT, "lsq",
                   "Learned step size", NULL),
  .create = lsq_create,
  .destroy = lsq_destroy,
  .params = lsq_params,
  .init = lsq_init,
  .qparams = lsq_qparams,
  .backward = lsq_backward,
  .state = lsq_state,
};

QK_PLUGIN ("lsq", "1.0", "LGPL-2.1-or-later", &lsq.cls);
