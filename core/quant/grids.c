/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grids.c: the grid of a quantizer, from what has been observed and learned. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "quant/quantizer-self.h"

static void
quantizer_warn (struct qk_quantizer *qz)
{
  if (qz->warned)
    return;
  qz->warned = true;
  qk_log (qz->ctx, QK_LOG_WARNING,
          "'%s': nothing has been observed, using scale 1 and zero_point %d",
          qz->info.name, (int) qz->next[0].zero_point);
}

/* What a plugin returned must be a grid the int8 formulas can use. */
static int
quantizer_check_grid (const struct qk_quantizer *qz, int64_t c)
{
  const struct qk_qparams *q = &qz->next[c];

  if (!isfinite (q->scale) || q->scale <= 0.0f)
    return qk_error (-EDOM,
                     "channel %lld: scale must be positive and finite, "
                     "got %g",
                     (long long) c, (double) q->scale);
  /* the formulas multiply by 1 / scale */
  if (!isfinite (1.0f / q->scale))
    return qk_error (-EDOM, "channel %lld: scale %g is too small",
                     (long long) c, (double) q->scale);
  if (q->qmin < qz->info.qmin || q->qmax > qz->info.qmax || q->qmin >= q->qmax)
    return qk_error (-EDOM, "channel %lld: range %d..%d is not within %d..%d",
                     (long long) c, (int) q->qmin, (int) q->qmax,
                     (int) qz->info.qmin, (int) qz->info.qmax);
  /* the type that integers are held in does not change in between */
  if (qk_grid_is_wide (q) != (qz->info.qmax > QK_U8_MAX))
    return qk_error (-EDOM,
                     "channel %lld: range %d..%d %s a byte, that of its bits "
                     "is %d..%d",
                     (long long) c, (int) q->qmin, (int) q->qmax,
                     qk_grid_is_wide (q) ? "needs more than" : "fits",
                     (int) qz->info.qmin, (int) qz->info.qmax);
  if (q->zero_point < q->qmin || q->zero_point > q->qmax)
    return qk_error (-EDOM, "channel %lld: zero_point %d is not within %d..%d",
                     (long long) c, (int) q->zero_point, (int) q->qmin,
                     (int) q->qmax);
  if (qz->info.weight && q->zero_point != 0)
    return qk_error (-EDOM,
                     "channel %lld: zero_point of a weight must be 0, got %d",
                     (long long) c, (int) q->zero_point);
  return 0;
}

static int
quantizer_default_grids (struct qk_quantizer *qz, bool seen)
{
  int r;

  if (!seen) {
    quantizer_warn (qz);
    return 0;
  }
  for (int64_t c = 0; c < qz->info.channels; c++) {
    r = qk_calculate_qparams (qz->min[c], qz->max[c], qz->info.symmetric,
                              &qz->next[c]);
    if (r < 0)
      return qk_error_prefix (r, "observer '%s' of '%s', channel %lld: ",
                              qk_quantizer_observer_name (qz), qz->info.name,
                              (long long) c);
  }
  return 0;
}

/* The grids in force: those computed, times their factors, with no scale below
 * its floor.  Whether that changed one. */
static bool
quantizer_take_grids (struct qk_quantizer *qz)
{
  bool changed = false;

  for (int64_t c = 0; c < qz->info.channels; c++) {
    struct qk_qparams q = qz->next[c];

    q.scale *= qz->factor[c];
    if (qz->floor[c] > q.scale)
      q.scale = qz->floor[c];
    changed = changed || q.scale != qz->grid[c].scale;
    qz->grid[c] = q;
  }
  return changed;
}

int
qk_quantizer_refresh (struct qk_quantizer *qz)
{
  const int64_t channels = qz->info.channels;
  bool seen = false;
  int r;

  if (qz->fixed) {
    quantizer_take_grids (qz);
    return 0;
  }
  if (qz->obs != NULL) {
    r = qk_quantizer_read_range (qz, qz->min, qz->max);
    if (r < 0 && r != -ENODATA)
      return qk_quantizer_blame (qz, r, &qz->obs->cls);
    seen = r >= 0;
  }
  for (int64_t c = 0; c < channels; c++) {
    qz->next[c].scale = 1.0f;
    qz->next[c].qmin = qz->info.qmin;
    qz->next[c].qmax = qz->info.qmax;
    qz->next[c].zero_point = qz->info.qmin > 0 ? qz->info.qmin : 0;
  }
  if (qz->fq == NULL || qz->fq->qparams == NULL)
    r = quantizer_default_grids (qz, seen);
  else {
    r = qz->fq->qparams (qz->fq_self, &qz->value, seen ? qz->min : NULL,
                         seen ? qz->max : NULL, qz->next);
    for (int64_t c = 0; r >= 0 && c < channels; c++)
      r = quantizer_check_grid (qz, c);
    if (r < 0)
      r = qk_quantizer_blame (qz, r, &qz->fq->cls);
  }
  if (r < 0)
    return r;
  quantizer_take_grids (qz);
  qz->derived = 1;
  return 0;
}

int
qk_quantizer_fix (struct qk_quantizer *qz, const struct qk_qparams *q)
{
  int r = 0;

  for (int64_t c = 0; r >= 0 && c < qz->info.channels; c++) {
    qz->next[c] = q[c];
    r = quantizer_check_grid (qz, c);
  }
  if (r < 0)
    return qk_error_prefix (r, "'%s': ", qz->info.name);
  quantizer_take_grids (qz);
  qz->fixed = true;
  qz->derived = 1;
  return 0;
}

bool
qk_quantizer_raise (struct qk_quantizer *qz, const float *floor)
{
  for (int64_t c = 0; c < qz->info.channels; c++)
    qz->floor[c] = floor != NULL && isfinite (floor[c]) ? floor[c] : 0.0f;
  return quantizer_take_grids (qz);
}

int
qk_quantizer_check_factors (const struct qk_quantizer *qz, const float *factor)
{
  for (int64_t c = 0; c < qz->info.channels; c++) {
    const float scale = qz->next[c].scale * factor[c];

    if (!(scale > 0.0f) || !isfinite (scale) || !isfinite (1.0f / scale))
      return qk_error (-EDOM,
                       "'%s': channel %lld has scale %g times %g, expected "
                       "a positive finite number",
                       qz->info.name, (long long) c,
                       (double) qz->next[c].scale, (double) factor[c]);
  }
  return 0;
}

int
qk_quantizer_rescale (struct qk_quantizer *qz, const float *factor)
{
  int r;

  if (qz->fixed || !qz->info.weight || qk_quantizer_transforms (qz))
    return 0;
  for (int64_t c = 0; c < qz->info.channels; c++)
    qz->min[c] = qz->factor[c] * factor[c];
  if ((r = qk_quantizer_check_factors (qz, qz->min)) < 0)
    return r;
  memcpy (qz->factor, qz->min, (size_t) qz->info.channels * sizeof (float));
  quantizer_take_grids (qz);
  return 0;
}

int64_t
qk_quantizer_raised (const struct qk_quantizer *qz)
{
  int64_t raised = 0;

  for (int64_t c = 0; c < qz->info.channels; c++)
    raised += qz->floor[c] > qz->next[c].scale * qz->factor[c];
  return raised;
}
