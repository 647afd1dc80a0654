/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kl.c: the range in which quantized values tell most about the values, by
 * relative entropy, as TensorRT calibrates (Migacz, "8-bit inference with
 * TensorRT", 2017), for one-sided and two-sided values, per tensor.
 *
 * Of the ranges f min..f max, f = 1/steps, … 1, those with at least as many
 * bins as the grid has integers, and half of the values, are tried.  P is the
 * histogram's part within the range, the values outside added to its end
 * bins.  Q is that part without them: the bins are dealt to the integers, and
 * what an integer holds is spread evenly over those of its bins where P is
 * not 0.  Both are made to sum to 1; where Q is 0 and P is not, Q counts as
 * 1e-4 of a bin's even share.  The range with the least sum of P log (P / Q)
 * wins.  Zeros do not count: every grid represents them. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/observer.h>

#include "counts/counts.h"
#include "range/range.h"

#define KL_NOTHING 1e-4

struct kl {
  struct range range; /* of everything seen */
  struct counts counts;
  int steps, levels;
  double *p, *q; /* bins, scratch */
};

static const struct qk_option kl_options[]
  = { { "steps", QK_OPT_INT, "128", 2, 4096, NULL,
        "Number of ranges that are tried." },
      { "bins", QK_OPT_INT, "8192", 2048, 65536, NULL,
        "Number of bins, a multiple of 4." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static void
kl_destroy (void *self)
{
  struct kl *k = self;

  if (k == NULL)
    return;
  range_clear (&k->range);
  counts_clear (&k->counts);
  qk_free (k->p);
  qk_free (k->q);
  qk_free (k);
}

static int
kl_create (const struct qk_config *cfg, const struct qk_quant_info *info,
           void **self)
{
  const size_t bins = (size_t) qk_config_int (cfg, "bins");
  struct kl *k;
  int e;

  if (info->channels != 1)
    return qk_error (-EINVAL,
                     "kl works per tensor only, but %lld channels are asked "
                     "for; use mse for weights per channel",
                     (long long) info->channels);
  k = qk_alloc (sizeof *k);
  if (k == NULL)
    return qk_oom ("kl");
  k->steps = (int) qk_config_int (cfg, "steps");
  k->levels = (int) (info->qmax - info->qmin + 1);
  e = range_init (&k->range, info);
  if (e >= 0)
    e = counts_init (&k->counts, (int) bins);
  if (e >= 0) {
    k->p = qk_alloc (bins * sizeof (double));
    k->q = qk_alloc (bins * sizeof (double));
    if (k->p == NULL || k->q == NULL)
      e = qk_oom ("%zu bins", bins);
  }
  if (e < 0) {
    kl_destroy (k);
    return e;
  }
  *self = k;
  return 0;
}

static int
kl_update (void *self, const float *x, size_t n)
{
  struct kl *k = self;
  float min, max;

  if (n == 0)
    return 0;
  qk_range_find (x, n, &min, &max);
  range_widen (&k->range, &min, &max);
  return counts_add (&k->counts, x, n);
}

/* k->p of the bins FIRST..FIRST + N - 1. */
static void
kl_reference (struct kl *k, int first, int n)
{
  const struct counts *c = &k->counts;

  for (int i = 0; i < n; i++)
    k->p[i] = (double) c->count[first + i];
  for (int i = 0; i < first; i++)
    k->p[0] += (double) c->count[i];
  for (int i = first + n; i < c->bins; i++)
    k->p[n - 1] += (double) c->count[i];
}

/* k->q of them; returns its sum. */
static double
kl_quantized (struct kl *k, int first, int n)
{
  double total = 0.0;

  for (int64_t l = 0; l < k->levels; l++) {
    const int from = (int) (l * n / k->levels);
    const int to = (int) ((l + 1) * n / k->levels);
    double sum = 0.0;
    int used = 0;

    for (int i = from; i < to; i++) {
      sum += (double) k->counts.count[first + i];
      used += k->p[i] > 0.0;
    }
    for (int i = from; i < to; i++)
      k->q[i] = k->p[i] > 0.0 ? sum / used : 0.0;
    total += sum;
  }
  return total;
}

static double
kl_divergence (struct kl *k, int first, int n)
{
  const double least = KL_NOTHING / n;
  double sum = 0.0, total;

  kl_reference (k, first, n);
  total = kl_quantized (k, first, n);
  /* all but nothing in the end bins: P and Q would be alike and worthless */
  if (2.0 * total < (double) k->counts.nonzero)
    return INFINITY;
  for (int i = 0; i < n; i++) {
    const double p = k->p[i] / (double) k->counts.nonzero;
    const double q = k->q[i] / total;

    if (p > 0.0)
      sum += p * log (p / (q > least ? q : least));
  }
  return sum;
}

/* The bin of V, which lies within the bins or at their end. */
static int
kl_bin (const struct counts *c, double v)
{
  const double bin = floor (ldexp (v, -c->exponent)) + c->bins / 2;

  return bin < 0.0 ? 0 : bin < c->bins ? (int) bin : c->bins - 1;
}

static int
kl_range (void *self, float *min, float *max)
{
  struct kl *k = self;
  float lo, hi;
  double best = INFINITY;
  int e = range_get (&k->range, min, max);

  if (e >= 0)
    e = counts_check (&k->counts);
  if (e < 0 || k->counts.nonzero == 0)
    return e;
  lo = *min = *min < 0.0f ? *min : 0.0f;
  hi = *max = *max > 0.0f ? *max : 0.0f;
  for (int s = k->steps; s > 0; s--) {
    const double f = (double) s / k->steps;
    const float a = (float) (f * (double) lo), b = (float) (f * (double) hi);
    const int first = kl_bin (&k->counts, (double) a);
    /* nothing lies at 0 or above it where the range ends there */
    const int last
      = hi > 0.0f ? kl_bin (&k->counts, (double) b) : k->counts.bins / 2 - 1;
    const int n = last - first + 1;
    double d;

    if (n < k->levels)
      break;
    d = kl_divergence (k, first, n);
    if (d < best) {
      best = d;
      *min = a;
      *max = b;
    }
  }
  return 0;
}

static int
kl_state (void *self, struct qk_state *st)
{
  struct kl *k = self;
  const int e = range_state (&k->range, st);

  return e < 0 ? e : counts_state (&k->counts, st);
}

static const struct qk_observer_class kl = {
  .cls
  = QK_CLASS_DEFAULT (struct qk_observer_class, QK_KIND_OBSERVER, "kl",
                      "Part of the range with the least loss of information",
                      kl_options, 60, QK_FOR_PTQ_ACTIVATION, ""),
  .create = kl_create,
  .destroy = kl_destroy,
  .update = kl_update,
  .range = kl_range,
  .state = kl_state,
};

QK_PLUGIN ("kl", "1.0", "LGPL-2.1-or-later", &kl.cls);
