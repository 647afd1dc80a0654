/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* percentile.c: the range without the outermost values, the same share of
 * them cut off at either end, from a histogram.
 *
 * With N values seen, the upper bound is where percentile / 100 N of them lie
 * below, each bin's values taken as spread evenly over the bin, and never
 * beyond the largest value; likewise the lower bound.  Values are counted
 * over all batches, weights anew in each: they are all there. */
#include "config.h"

#include <qatkit/observer.h>

#include "counts/counts.h"
#include "range/range.h"

struct percentile {
  struct range range; /* of everything seen; of weights: what is kept */
  struct counts counts;
  bool weight;
  double share; /* 0.5 to 1 */
};

static const struct qk_option percentile_options[]
  = { { "percentile", QK_OPT_FLOAT, "99.99", 50.0, 100.0, NULL,
        "Values below the upper bound and above the lower one, in percent." },
      { "bins", QK_OPT_INT, "8192", 16, 65536, NULL,
        "Number of bins, a multiple of 4." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static void
percentile_destroy (void *self)
{
  struct percentile *p = self;

  if (p == NULL)
    return;
  range_clear (&p->range);
  counts_clear (&p->counts);
  qk_free (p);
}

static int
percentile_create (const struct qk_config *cfg,
                   const struct qk_quant_info *info, void **self)
{
  struct percentile *p = qk_alloc (sizeof *p);
  int e;

  if (p == NULL)
    return qk_error (-ENOMEM, "no memory");
  p->weight = info->weight;
  p->share = qk_config_float (cfg, "percentile") / 100.0;
  e = range_init (&p->range, info);
  if (e >= 0)
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

static int
percentile_update (void *self, const float *x, size_t n)
{
  struct percentile *p = self;
  struct range *r = &p->range;
  const size_t block = n / r->channels;
  float min, max;

  if (n == 0)
    return 0;
  for (size_t c = 0; c < r->channels; c++) {
    int e;

    if (p->weight)
      counts_reset (&p->counts);
    e = counts_add (&p->counts, x + c * block, block);
    if (e < 0)
      return e;
    range_find (x + c * block, block, &min, &max);
    if (p->weight) {
      percentile_cut (p, &min, &max);
      r->min[c] = min;
      r->max[c] = max;
    } else {
      r->min[c] = min < r->min[c] ? min : r->min[c];
      r->max[c] = max > r->max[c] ? max : r->max[c];
    }
  }
  return 0;
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
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "percentile",
                   "Range without the outermost values", percentile_options),
  .create = percentile_create,
  .destroy = percentile_destroy,
  .update = percentile_update,
  .range = percentile_range,
  .state = percentile_state,
};

QK_PLUGIN ("percentile", "1.0", "LGPL-2.1-or-later", &percentile.cls);
