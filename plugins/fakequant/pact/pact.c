/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pact.c: values clipped at a learned level (Choi et al. 2018,
 * arXiv:1805.06085).
 *
 * The grid covers 0..alpha, so values below 0 become 0 and those above alpha
 * alpha:
 *   dx     = dy where the value lies on the grid's range, else 0
 *   dalpha += dy where the value is above it;  + decay alpha once a batch
 * (the derivative of the paper's regulariser decay alpha^2 / 2).  Where the
 * first batch has values below 0 (the output of a layer without ReLU), or the
 * grid shall be symmetric, it covers -alpha..alpha, and dalpha gets -dy below
 * it.
 *
 * With lower = yes the lower end beta <= 0 is learned by the same rule, y =
 * clip (x, beta, alpha), for values that reach further on one side than on the
 * other:
 *   dalpha += dy where the value is above the grid;  + decay alpha
 *   dbeta  += dy where it is below;                  + decay beta
 * The grid is that of PyTorch's formulas for beta..alpha; an end on the wrong side
 * of 0 counts as 0, and its gradient may bring it back. */
#include "config.h"

#include <math.h>

#include <qatkit/fakequant.h>
#include <qatkit/numeric.h>

/* The scale is kept above this, PyTorch's smallest. */
#define PACT_EPS 1.1920928955078125e-07f

struct pact {
  int32_t is_signed; /* -alpha..alpha */
  int32_t qmin, qmax;
  bool lower; /* beta is learned */
  float alpha, decay;
};

static const struct qk_option pact_options[]
  = { { "alpha", QK_OPT_FLOAT, "0", 0.0, 1e30, NULL,
        "Clipping level at first; 0 = largest magnitude of the first batch." },
      { "decay", QK_OPT_FLOAT, "0", 0.0, 1.0, NULL,
        "Strength of the pull of the level towards 0." },
      { "lower", QK_OPT_BOOL, "no", 0, 0, NULL,
        "Whether the lower end is learned too, for values of both signs; not "
        "of symmetric grids" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
pact_create (const struct qk_config *cfg, const struct qk_quant_info *info,
             void **self)
{
  struct pact *p;

  if (info->weight)
    return qk_error (-EINVAL,
                     "pact is for activations, not weights; use dorefa, "
                     "lsq or affine for weights");
  p = qk_alloc (sizeof *p);
  if (p == NULL)
    return qk_oom ("pact");
  p->is_signed = info->symmetric;
  p->qmin = info->qmin;
  p->qmax = info->qmax;
  p->alpha = (float) qk_config_float (cfg, "alpha");
  p->decay = (float) qk_config_float (cfg, "decay");
  p->lower = qk_config_bool (cfg, "lower") && !info->symmetric;
  *self = p;
  return 0;
}

static void
pact_destroy (void *self)
{
  qk_free (self);
}

static int
pact_params (void *self, struct qk_fq_param *out)
{
  const struct pact *p = self;

  out[0].name = "alpha";
  out[0].count = 1;
  out[0].initial = p->alpha > 0.0f ? p->alpha : 1.0f;
  if (!p->lower)
    return 1;
  out[1].name = "beta";
  out[1].count = 1;
  out[1].initial = 0.0f;
  return 2;
}

static int
pact_init (void *self, struct qk_fq_params *params, const float *x, size_t n)
{
  struct pact *p = self;
  float low = 0.0f, high = 0.0f;

  for (size_t i = 0; i < n; i++) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  if (low < 0.0f)
    p->is_signed = 1;
  if (p->lower)
    params->value[1][0] = low;
  if (p->alpha == 0.0f)
    params->value[0][0] = !p->lower && -low > high ? -low : high;
  return 0;
}

static int
pact_qparams (void *self, const struct qk_fq_params *params, const float *min,
              const float *max, struct qk_qparams *out)
{
  const struct pact *p = self;
  const float alpha = params->value[0][0];
  const int32_t zero = p->is_signed ? (p->qmin + p->qmax + 1) / 2 : p->qmin;
  const float scale = alpha / (float) (p->qmax - zero);

  (void) min;
  (void) max;
  /* NaN passes, so that the library refuses it */
  if (p->lower) {
    const float beta = params->value[1][0];

    return qk_calculate_qparams (beta > 0.0f ? 0.0f : beta,
                                 alpha < 0.0f ? 0.0f : alpha, false, out);
  }
  out->scale = scale < PACT_EPS ? PACT_EPS : scale;
  out->zero_point = zero;
  return 0;
}

static int
pact_backward (void *self, const struct qk_fq_params *params,
               const struct qk_qparams *q, const float *x, const float *dy,
               float *dx, size_t n)
{
  const struct pact *p = self;
  const float inv = 1.0f / q->scale;
  const float lo = (float) (q->qmin - q->zero_point);
  const float hi = (float) (q->qmax - q->zero_point);
  /* once, when several processes add up their sums */
  const double decay = (double) p->decay * (double) n / (double) params->whole;
  double above = 0.0, below = 0.0;

  for (size_t i = 0; i < n; i++) {
    const float r = qk_rne (x[i] * inv);

    if (r > hi)
      above += (double) dy[i];
    else if (r < lo)
      below += (double) dy[i];
    dx[i] = r >= lo && r <= hi ? dy[i] : 0.0f;
  }
  if (p->lower)
    params->grad[1][0]
      += (float) (below + decay * (double) params->value[1][0]);
  else if (p->is_signed)
    above -= below;
  params->grad[0][0] += (float) (above + decay * (double) params->value[0][0]);
  return 0;
}

static int
pact_state (void *self, struct qk_state *st)
{
  struct pact *p = self;

  return qk_state_add (st, "signed", QK_I32, &p->is_signed, 1);
}

static const struct qk_fakequant_class pact = {
  .cls = QK_CLASS (struct qk_fakequant_class, QK_KIND_FAKEQUANT, "pact",
                   "Learned clipping levels of activations", pact_options),
  .create = pact_create,
  .destroy = pact_destroy,
  .params = pact_params,
  .init = pact_init,
  .qparams = pact_qparams,
  .backward = pact_backward,
  .state = pact_state,
};

QK_PLUGIN ("pact", "1.0", "LGPL-2.1-or-later", &pact.cls);
