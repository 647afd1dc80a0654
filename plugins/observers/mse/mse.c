/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mse.c: of the ranges f min..f max, f = 1/steps, 2/steps, … 1, the one whose
 * grid (qk_calculate_qparams) gives the least squared error.
 *
 * Values are counted in a histogram over all batches and stand at the middle
 * of their bins; weights are all there, each channel is taken as it is. */
#include "config.h"

#include <math.h>

#include <qatkit/fakequant.h>
#include <qatkit/numeric.h>

#include "counts/counts.h"
#include "multiversion.h"
#include "range/range.h"

/* Partial sums: a compiler may not reorder the addition of floats. */
#define MSE_LANES 16

struct mse {
  struct range range; /* of everything seen; of weights: the one found */
  struct counts counts;
  float *middle, *often; /* bins that hold something: where, how many */
  int steps;
  bool weight, symmetric;
  int32_t qmin, qmax;
};

static const struct qk_option mse_options[]
  = { { "steps", QK_OPT_INT, "64", 2, 4096, NULL,
        "Number of ranges that are tried." },
      { "bins", QK_OPT_INT, "4096", 16, 65536, NULL,
        "Number of bins, a multiple of 4." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static void
mse_destroy (void *self)
{
  struct mse *m = self;

  if (m == NULL)
    return;
  range_clear (&m->range);
  counts_clear (&m->counts);
  qk_free (m->middle);
  qk_free (m->often);
  qk_free (m);
}

static int
mse_create (const struct qk_config *cfg, const struct qk_quant_info *info,
            void **self)
{
  const size_t bins = (size_t) qk_config_int (cfg, "bins");
  struct mse *m = qk_alloc (sizeof *m);
  int e;

  if (m == NULL)
    return qk_oom ("mse");
  m->steps = (int) qk_config_int (cfg, "steps");
  m->weight = info->weight;
  m->symmetric = info->symmetric;
  m->qmin = info->qmin;
  m->qmax = info->qmax;
  e = range_init (&m->range, info);
  if (e >= 0)
    e = counts_init (&m->counts, (int) bins);
  if (e >= 0) {
    m->middle = qk_alloc (bins * sizeof (float));
    m->often = qk_alloc (bins * sizeof (float));
    if (m->middle == NULL || m->often == NULL)
      e = qk_oom ("%zu bins", bins);
  }
  if (e < 0) {
    mse_destroy (m);
    return e;
  }
  *self = m;
  return 0;
}

/* Sum of the squared errors of the N numbers X, each OFTEN times (NULL:
 * once). */
QK_LOOP_VALUE (static, double, mse_error,
               (const float *restrict x, const float *restrict often, size_t n,
                float scale, float lo, float hi),
               (x, often, n, scale, lo, hi))
{
  const float inverse = 1.0f / scale;
  float part[MSE_LANES] = { 0 };
  double sum = 0.0;

  for (size_t i = 0; i < n; i += MSE_LANES) {
    const size_t left = n - i;
    const int lanes = left < MSE_LANES ? (int) left : MSE_LANES;

    for (int j = 0; j < lanes; j++) {
      const float v = x[i + (size_t) j];
      float r = rintf (v * inverse);

      r = r > lo ? r : lo;
      r = r < hi ? r : hi;
      r = r * scale - v;
      part[j] = often != NULL ? r * r * often[i + (size_t) j] : r * r;
    }
    for (int j = 0; j < lanes; j++)
      sum += (double) part[j];
  }
  return sum;
}

/* Replace *MIN..*MAX, the range of the N numbers X, by the best part of it;
 * of equal ones the widest. */
static int
mse_search (const struct mse *m, const float *x, const float *often, size_t n,
            float *min, float *max)
{
  double best = INFINITY;
  float lo = *min, hi = *max;

  for (int s = m->steps; s > 0; s--) {
    struct qk_qparams q = { 1.0f, 0, m->qmin, m->qmax };
    const double f = (double) s / m->steps;
    const float a = (float) (f * (double) *min);
    const float b = (float) (f * (double) *max);
    const int e = qk_calculate_qparams (a, b, m->symmetric, &q);
    double error;

    if (e < 0)
      return e;
    error = mse_error (x, often, n, q.scale, (float) (q.qmin - q.zero_point),
                       (float) (q.qmax - q.zero_point));
    if (error < best) {
      best = error;
      lo = a;
      hi = b;
    }
  }
  *min = lo;
  *max = hi;
  return 0;
}

static int
mse_update_weight (struct mse *m, const float *x, size_t block)
{
  const int64_t channels = (int64_t) m->range.channels;
  int failed = 0;

#ifdef _OPENMP
#pragma omp parallel for schedule(static) reduction(min : failed)
#endif
  for (int64_t c = 0; c < channels; c++) {
    const float *w = x + (size_t) c * block;
    float min, max;
    int e;

    qk_range_find (w, block, &min, &max);
    e = mse_search (m, w, NULL, block, &min, &max);
    failed = e < failed ? e : failed;
    m->range.min[c] = min;
    m->range.max[c] = max;
  }
  /* the message belongs to the thread that failed */
  return failed < 0 ? qk_error (failed, "no scale for the range") : 0;
}

static int
mse_update (void *self, const float *x, size_t n)
{
  struct mse *m = self;
  struct range *r = &m->range;
  float min, max;

  if (n == 0)
    return 0;
  if (m->weight)
    return mse_update_weight (m, x, n / r->channels);
  qk_range_find (x, n, &min, &max);
  range_widen (r, &min, &max);
  return counts_add (&m->counts, x, n);
}

static int
mse_range (void *self, float *min, float *max)
{
  struct mse *m = self;
  const struct counts *c = &m->counts;
  size_t n = 0;
  int e = range_get (&m->range, min, max);

  if (e < 0 || m->weight)
    return e;
  e = counts_check (c);
  if (e < 0)
    return e;
  for (int i = 0; i < c->bins; i++)
    if (c->count[i] > 0) {
      m->middle[n]
        = (float) ((counts_edge (c, i) + counts_edge (c, i + 1)) / 2.0);
      m->often[n++] = (float) c->count[i];
    }
  return n > 0 ? mse_search (m, m->middle, m->often, n, min, max) : 0;
}

static int
mse_state (void *self, struct qk_state *st)
{
  struct mse *m = self;
  const int e = range_state (&m->range, st);

  return e < 0 || m->weight ? e : counts_state (&m->counts, st);
}

static const struct qk_observer_class mse = {
  .cls = QK_CLASS_DEFAULT (struct qk_observer_class, QK_KIND_OBSERVER, "mse",
                           "Part of the range with the least squared error",
                           mse_options, 70, QK_FOR_PTQ_ACTIVATION, ""),
  .create = mse_create,
  .destroy = mse_destroy,
  .update = mse_update,
  .range = mse_range,
  .state = mse_state,
};

QK_PLUGIN ("mse", "1.0", "LGPL-2.1-or-later", &mse.cls);
