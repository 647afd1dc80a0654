/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* percentile.c: the range without the outermost values, the same share of
 * them cut off at either end, from a histogram.
 *
 * With N values seen, the upper bound is where percentile / 100 N of them lie
 * below, each bin's values taken as spread evenly over the bin, and never
 * beyond the largest value; likewise the lower bound.  Values are counted
 * over all batches.  The weights of a channel are all there: the bound is the
 * weight that many of them do not exceed. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/observer.h>

#include "counts/counts.h"
#include "range/range.h"

struct percentile {
  struct range range;   /* of everything seen; of weights: what is kept */
  struct counts counts; /* of values */
  float *sorted;        /* weights: scratch of sorted_size floats */
  size_t sorted_size;
  bool weight;
  double share; /* 0.5 to 1 */
};

static const struct qk_option percentile_options[] = {
  { "percentile", QK_OPT_FLOAT, "99.99", 50.0, 100.0, NULL,
    "Elements below the upper bound and above the lower one, in percent." },
  { "bins", QK_OPT_INT, "8192", 16, 65536, NULL,
    "Number of bins, a multiple of 4." },
  { NULL, 0, NULL, 0, 0, NULL, NULL }
};

static void
percentile_destroy (void *self)
{
  struct percentile *p = self;

  if (p == NULL)
    return;
  range_clear (&p->range);
  counts_clear (&p->counts);
  qk_free (p->sorted);
  qk_free (p);
}

static int
percentile_create (const struct qk_config *cfg,
                   const struct qk_quant_info *info, void **self)
{
  struct percentile *p = qk_alloc (sizeof *p);
  int e;

  if (p == NULL)
    return qk_oom ("percentile");
  p->weight = info->weight;
  p->share = qk_config_float (cfg, "percentile") / 100.0;
  e = range_init (&p->range, info);
  if (e >= 0) /* also to check the option */
    e = counts_init (&p->counts, (int) qk_config_int (cfg, "bins"));
  if (e < 0) {
    percentile_destroy (p);
    return e;
  }
  *self = p;
  return 0;
}

/* Where WANTED values lie below. */
static double
percentile_below (const struct counts *c, double wanted)
{
  double sum = 0.0;

  for (int i = 0; i < c->bins; i++) {
    const double here = (double) c->count[i];

    if (i == c->bins / 2 && c->zeros > 0) {
      sum += (double) c->zeros;
      if (sum >= wanted)
        return 0.0;
    }
    if (here > 0.0 && sum + here >= wanted)
      return counts_edge (c, i)
             + (wanted - sum) / here
                 * (counts_edge (c, i + 1) - counts_edge (c, i));
    sum += here;
  }
  return counts_edge (c, c->bins);
}

/* Cut *MIN..*MAX, the range of the counted values. */
static void
percentile_cut (const struct percentile *p, float *min, float *max)
{
  const double n = (double) (p->counts.zeros + p->counts.nonzero);
  const double low = percentile_below (&p->counts, n - p->share * n);
  const double high = percentile_below (&p->counts, p->share * n);

  if (low > (double) *min)
    *min = low < (double) *max ? (float) low : *max;
  if (high < (double) *max)
    *max = high > (double) *min ? (float) high : *min;
}

/* Put the number that belongs at place K of the N numbers X in order there,
 * none larger before it, none smaller behind it (Hoare's "find"). */
static float
percentile_select (float *x, size_t n, size_t k)
{
  size_t left = 0, right = n - 1;

  while (left < right) {
    const float pivot = x[k];
    size_t i = left, j = right;

    for (;;) {
      while (x[i] < pivot)
        i++;
      while (pivot < x[j])
        j--;
      if (i <= j) {
        const float t = x[i];

        x[i++] = x[j];
        x[j] = t;
        if (j == 0)
          break;
        j--;
      }
      if (i > j)
        break;
    }
    if (j < k)
      left = i;
    if (k < i)
      right = j;
  }
  return x[k];
}

/* The place of the last of WANTED numbers among N in order. */
static size_t
percentile_place (double wanted, size_t n)
{
  /* 0.99 * 1000 shall be 990, not a little more */
  const double last = ceil (wanted - 1e-9 * (double) n) - 1.0;

  return last < 0.0 ? 0 : last < (double) n ? (size_t) last : n - 1;
}

/* A channel of N weights. */
static void
percentile_weights (struct percentile *p, const float *w, size_t n, float *min,
                    float *max)
{
  memcpy (p->sorted, w, n * sizeof *w);
  *min = percentile_select (
    p->sorted, n, percentile_place ((1.0 - p->share) * (double) n, n));
  *max = percentile_select (p->sorted, n,
                            percentile_place (p->share * (double) n, n));
}

static int
percentile_update_weight (struct percentile *p, const float *x, size_t block)
{
  struct range *r = &p->range;

  if (p->sorted_size < block) {
    qk_free (p->sorted);
    p->sorted = qk_alloc (block * sizeof *p->sorted);
    p->sorted_size = p->sorted != NULL ? block : 0;
    if (p->sorted == NULL)
      return qk_oom ("%zu weights", block);
  }
  for (size_t c = 0; c < r->channels; c++)
    percentile_weights (p, x + c * block, block, &r->min[c], &r->max[c]);
  return 0;
}

static int
percentile_update (void *self, const float *x, size_t n)
{
  struct percentile *p = self;
  struct range *r = &p->range;
  float min, max;

  if (n == 0)
    return 0;
  if (p->weight)
    return percentile_update_weight (p, x, n / r->channels);
  qk_range_find (x, n, &min, &max);
  range_widen (r, &min, &max);
  return counts_add (&p->counts, x, n);
}

static int
percentile_range (void *self, float *min, float *max)
{
  const struct percentile *p = self;
  int e = range_get (&p->range, min, max);

  if (e < 0 || p->weight)
    return e;
  e = counts_check (&p->counts);
  if (e >= 0)
    percentile_cut (p, min, max);
  return e;
}

static int
percentile_state (void *self, struct qk_state *st)
{
  struct percentile *p = self;
  const int e = range_state (&p->range, st);

  return e < 0 || p->weight ? e : counts_state (&p->counts, st);
}

static const struct qk_observer_class percentile = {
  .cls
  = QK_CLASS_DEFAULT (struct qk_observer_class, QK_KIND_OBSERVER, "percentile",
                      "Range without the outermost elements",
                      percentile_options, 80, QK_FOR_PTQ_ACTIVATION, ""),
  .create = percentile_create,
  .destroy = percentile_destroy,
  .update = percentile_update,
  .range = percentile_range,
  .state = percentile_state,
};

QK_PLUGIN ("percentile", "1.0", "LGPL-2.1-or-later", &percentile.cls);
