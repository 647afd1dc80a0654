/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* histogram.c: a histogram of all values, and the range in it that quantizes
 * with the least L2 error (PyTorch's HistogramObserver), per tensor.
 *
 * The first batch gives the range and the counts.  When a later one widens
 * the range, the new range is made a multiple of a fine grid (bins / upsample)
 * of the old one, and the old counts, spread evenly within their bins, are
 * summed into the new bins.
 *
 * PyTorch up to 1.13 rounds the bounds of the counting to integers, so that
 * values outside them vanish and bins do not lie where they should, and loses
 * digits of the sums in float32; compat=torch1.13 does the same. */
#include "config.h"

#include <math.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include <qatkit/observer.h>

#include "multiversion.h"
#include "range/range.h"
#include "search.h"

/* Tables of one thread: neighbouring elements count in different ones, for
 * an increment has to wait for the last one of the same cell. */
#define HISTOGRAM_TABLES 4
/* Elements whose bins are computed together. */
#define HISTOGRAM_TILE 1024
/* Elements counted before 32-bit counters are emptied. */
#define HISTOGRAM_CHUNK ((size_t) 1 << 28)

struct histogram {
  struct range range; /* of the bins */
  int bins, upsample;
  int levels; /* quantization steps, for the search */
  bool truncate;
  float *count;    /* bins; fractions after a change of range */
  float *fresh;    /* bins; the batch at hand */
  float *scratch;  /* 2 * bins, for the search */
  uint64_t *total; /* bins; the batch at hand, exact */
};

static const char *const histogram_compat[] = { "none", "torch1.13", NULL };

static const struct qk_option histogram_options[]
  = { { "bins", QK_OPT_INT, "2048", 16, 65536, NULL, "Number of bins." },
      { "upsample", QK_OPT_INT, "128", 1, 1024, NULL,
        "Parts an old bin is split into when the range grows." },
      { "compat", QK_OPT_CHOICE, "none", 0, 0, histogram_compat,
        "Repeat the counting mistakes of a PyTorch version." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static void
histogram_destroy (void *self)
{
  struct histogram *h = self;

  if (h == NULL)
    return;
  range_clear (&h->range);
  qk_free (h->count);
  qk_free (h->fresh);
  qk_free (h->scratch);
  qk_free (h->total);
  qk_free (h);
}

static int
histogram_create (const struct qk_config *cfg,
                  const struct qk_quant_info *info, void **self)
{
  struct histogram *h;
  size_t bins;
  int e;

  if (info->channels != 1)
    return qk_error (-EINVAL,
                     "histogram works per tensor only, but %lld channels are "
                     "asked for; use minmax for weights per channel",
                     (long long) info->channels);
  h = qk_alloc (sizeof *h);
  if (h == NULL)
    return qk_oom ("histogram");
  h->bins = (int) qk_config_int (cfg, "bins");
  h->upsample = (int) qk_config_int (cfg, "upsample");
  h->truncate = strcmp (qk_config_string (cfg, "compat"), "torch1.13") == 0;
  /* PyTorch takes 256 steps even where one bit is left unused */
  h->levels = 1 << (info->bits == 7 ? 8 : info->bits);
  bins = (size_t) h->bins;
  e = range_init (&h->range, info);
  if (e < 0)
    goto error;
  h->count = qk_alloc (bins * sizeof (float));
  h->fresh = qk_alloc (bins * sizeof (float));
  h->scratch = qk_alloc (2 * bins * sizeof (float));
  h->total = qk_alloc (bins * sizeof (uint64_t));
  if (h->count == NULL || h->fresh == NULL || h->scratch == NULL
      || h->total == NULL) {
    e = qk_oom ("%d bins", h->bins);
    goto error;
  }
  *self = h;
  return 0;

error:
  histogram_destroy (h);
  return e;
}

/* ---- counting ----------------------------------------------------------*/

/* Bins of the N numbers of X, torch.histc's formula:
 *   floor ((x - lo) * bins / (hi - lo)), the last bin includes hi;
 * numbers outside lo..hi get the bin after the last. */
QK_LOOP (static, histogram_bins_of,
         (const float *restrict x, int n, float lo, float hi, int bins,
          int32_t *restrict bin),
         (x, n, lo, hi, bins, bin))
{
  const float fbins = (float) bins, span = hi - lo;

  for (int i = 0; i < n; i++) {
    float t = (x[i] - lo) * fbins / span;
    int32_t b;

    t = t > 0.0f ? t : 0.0f;
    t = t < fbins ? t : fbins;
    b = (int32_t) t;
    b = b < bins ? b : bins - 1;
    bin[i] = ((x[i] >= lo) & (x[i] <= hi)) ? b : bins;
  }
}

/* Count N numbers into HISTOGRAM_TABLES tables of bins + 1. */
static void
histogram_count_part (const float *x, size_t n, float lo, float hi, int bins,
                      uint32_t *table)
{
  const size_t stride = (size_t) bins + 1;
  int32_t bin[HISTOGRAM_TILE];

  for (size_t start = 0; start < n; start += HISTOGRAM_TILE) {
    const size_t left = n - start;
    const int tile = left < HISTOGRAM_TILE ? (int) left : HISTOGRAM_TILE;
    int i = 0;

    histogram_bins_of (x + start, tile, lo, hi, bins, bin);
    for (; i + HISTOGRAM_TABLES <= tile; i += HISTOGRAM_TABLES)
      for (int t = 0; t < HISTOGRAM_TABLES; t++)
        table[(size_t) t * stride + (size_t) bin[i + t]]++;
    for (; i < tile; i++)
      table[bin[i]]++;
  }
}

/* Add the counts of at most HISTOGRAM_CHUNK numbers to h->total. */
static int
histogram_count_chunk (struct histogram *h, const float *x, size_t n, float lo,
                       float hi)
{
  const size_t stride = (size_t) h->bins + 1;
  const size_t one = HISTOGRAM_TABLES * stride;
  int parts = 1;
  uint32_t *table;

#ifdef _OPENMP
  if (n > 16 * HISTOGRAM_TILE)
    parts = omp_get_max_threads ();
#endif
  table = qk_alloc ((size_t) parts * one * sizeof *table);
  if (table == NULL)
    return qk_oom ("%d histograms", parts);
#ifdef _OPENMP
#pragma omp parallel for schedule(static, 1) num_threads(parts) if (parts > 1)
#endif
  for (int p = 0; p < parts; p++) {
    const size_t from = n / (size_t) parts * (size_t) p;
    const size_t to
      = p + 1 < parts ? n / (size_t) parts * (size_t) (p + 1) : n;

    histogram_count_part (x + from, to - from, lo, hi, h->bins,
                          table + (size_t) p * one);
  }
  for (int t = 0; t < parts * HISTOGRAM_TABLES; t++)
    for (size_t b = 0; b + 1 < stride; b++)
      h->total[b] += table[(size_t) t * stride + b];
  qk_free (table);
  return 0;
}

/* h->fresh = torch.histc (x, bins, lo, hi). */
static int
histogram_count (struct histogram *h, const float *x, size_t n, float lo,
                 float hi)
{
  int e;

  if (h->truncate) {
    lo = truncf (lo);
    hi = truncf (hi);
  }
  if (lo == hi)
    qk_range_find (x, n, &lo, &hi);
  if (lo == hi) {
    lo -= 1.0f;
    hi += 1.0f;
  }
  if (!isfinite (hi - lo))
    return qk_error (-EDOM, "range %g..%g is too wide for float32",
                     (double) lo, (double) hi);
  memset (h->total, 0, (size_t) h->bins * sizeof *h->total);
  while (n > 0) {
    const size_t take = n < HISTOGRAM_CHUNK ? n : HISTOGRAM_CHUNK;

    e = histogram_count_chunk (h, x, take, lo, hi);
    if (e < 0)
      return e;
    x += take;
    n -= take;
  }
  for (int b = 0; b < h->bins; b++)
    h->fresh[b] = (float) h->total[b];
  return 0;
}

/* ---- combining ---------------------------------------------------------*/

/* How the old bins lie in the new ones, in cells of width (old bin) /
 * upsample. */
struct histogram_grid {
  float min, max; /* the new range */
  int64_t cells;  /* of one new bin */
  int64_t start;  /* cell the old range begins at */
  bool tiny;      /* the old range is nothing against the new one */
};

/* Fit the new range LO..HI to the cells of the old one.  Only the maximum is
 * relaxed: a one-sided distribution keeps its 0. */
static void
histogram_align (const struct histogram *h, float lo, float hi,
                 struct histogram_grid *g)
{
  const float min = h->range.min[0], max = h->range.max[0];
  const float fbins = (float) h->bins;
  const float cell = (max - min) / (float) (h->bins * h->upsample);
  const float cells = ceilf ((hi - lo) / (fbins * cell));
  int64_t most;
  float slack, start;

  g->min = lo;
  g->max = hi;
  /* 2^40 cells a bin: the old range lies within one bin, to float32 */
  g->tiny = !(cells < 0x1p40f);
  if (g->tiny)
    return;
  slack = cells * (fbins * cell) - (hi - lo);
  g->max = hi + slack;
  g->cells = (int64_t) cells;
  start = rintf ((min - lo) / cell);
  most = g->cells * h->bins - (int64_t) h->bins * h->upsample;
  g->start = start < (float) most ? (int64_t) start : most;
  if (g->start < 0)
    g->start = 0;
}

/* Add the old counts to h->fresh.  SUM runs over the cells one by one, in
 * double, and a new bin gets the difference of two of its values. */
static void
histogram_combine (struct histogram *h, const struct histogram_grid *g)
{
  const int64_t bins = h->bins, up = h->upsample;
  int64_t cell = 0, bin = 0; /* the next cell of the old range, its bin */
  double sum = 0.0, before = 0.0;

  for (int64_t b = 0; b < bins; b++) {
    int64_t left = (b + 1) * g->cells - g->start; /* end of new bin b */

    left = (left < bins * up ? left : bins * up) - (bin * up + cell);
    for (; left > 0; left--) {
      sum += (double) h->count[bin];
      if (++cell == up) {
        cell = 0;
        bin++;
      }
    }
    h->fresh[b] += (float) ((sum - before) / (double) up);
    before = h->truncate ? (double) (float) sum : sum;
  }
}

/* As histogram_combine when all old bins lie in one new one. */
static void
histogram_combine_tiny (struct histogram *h, const struct histogram_grid *g)
{
  const float at
    = (h->range.min[0] - g->min) * (float) h->bins / (g->max - g->min);
  const int b = at < (float) (h->bins - 1) ? (int) at : h->bins - 1;
  double sum = 0.0;

  for (int i = 0; i < h->bins; i++)
    sum += (double) h->count[i];
  h->fresh[b] += (float) sum;
}

static int
histogram_update (void *self, const float *x, size_t n)
{
  struct histogram *h = self;
  float *min = h->range.min, *max = h->range.max, *swap, lo, hi;
  struct histogram_grid g;
  int e;

  if (n == 0)
    return 0;
  qk_range_find (x, n, &lo, &hi);
  if (!range_seen (&h->range) || *min == *max) {
    e = histogram_count (h, x, n, lo, hi);
    if (e < 0)
      return e;
    g.min = lo;
    g.max = hi;
  } else {
    lo = lo < *min ? lo : *min;
    hi = hi > *max ? hi : *max;
    histogram_align (h, lo, hi, &g);
    e = histogram_count (h, x, n, g.min, g.max);
    if (e < 0)
      return e;
    if (g.min == *min && g.max == *max)
      for (int b = 0; b < h->bins; b++)
        h->fresh[b] += h->count[b];
    else if (g.tiny)
      histogram_combine_tiny (h, &g);
    else
      histogram_combine (h, &g);
  }
  swap = h->count;
  h->count = h->fresh;
  h->fresh = swap;
  *min = g.min;
  *max = g.max;
  return 0;
}

static int
histogram_range (void *self, float *min, float *max)
{
  struct histogram *h = self;

  if (!range_seen (&h->range))
    return -ENODATA;
  for (int b = 0; b < h->bins; b++)
    if (!isfinite (h->count[b]))
      return qk_error (-EDOM, "bin %d of the histogram counts %g", b,
                       (double) h->count[b]);
  histogram_search (h->count, h->bins, h->range.min[0], h->range.max[0],
                    h->levels, h->scratch, min, max);
  return 0;
}

static int
histogram_state (void *self, struct qk_state *st)
{
  struct histogram *h = self;
  const int e
    = qk_state_add (st, "histogram", QK_F32, h->count, (size_t) h->bins);

  return e < 0 ? e : range_state (&h->range, st);
}

static const struct qk_observer_class histogram = {
  .cls
  = QK_CLASS_DEFAULT (struct qk_observer_class, QK_KIND_OBSERVER, "histogram",
                      "Range with the least quantization error in a histogram",
                      histogram_options, 100, QK_FOR_PTQ_ACTIVATION, ""),
  .create = histogram_create,
  .destroy = histogram_destroy,
  .update = histogram_update,
  .range = histogram_range,
  .state = histogram_state,
};

QK_PLUGIN ("histogram", "1.0", "LGPL-2.1-or-later", &histogram.cls);
