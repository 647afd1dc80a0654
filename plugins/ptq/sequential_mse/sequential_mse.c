/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sequential_mse.c: ranges of weights by the error of a layer's outputs, one layer
 * after the other (SeqMSE of the AI Model Efficiency Toolkit).
 *
 * Of the ranges g min..g max, g = 1/steps, 2/steps, … 1, of a channel's weights w,
 * the one whose grid (qk_calculate_qparams) has the least
 *   sum |f (w x + b) - f (Q (w) x' + b')|^2
 * over windows of inputs, x in the float network and x' in the quantized one, in
 * which the layers before already have theirs; f is the clamp behind the layer.
 * The observer mse looks at the weights alone; here those count that meet large
 * inputs.  Channels have their own range, or, per tensor, all the same. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "multiversion.h"
#include "ptqlayer/ptqlayer.h"

struct sequential_mse {
  int64_t samples, batches;
  int steps;
};

struct totals {
  int layers, skipped;
  double ratio; /* sum of the errors left */
};

/* The search in one layer; arrays of channels, but W and Y. */
struct search {
  struct qk_qparams *grid, *best;
  float *min, *max;
  double *error, *least;
  float *w, *y; /* quantized weights, their outputs */
  bool one;     /* all channels share a grid */
  void *memory;
};

static const struct qk_option options[]
  = { { "steps", QK_OPT_INT, "64", 2, 4096, NULL,
        "Number of ranges that are tried." },
      { "samples", QK_OPT_INT, "1024", 1, 1000000, NULL,
        "Output positions of each layer to compare." },
      { "batches", QK_OPT_INT, "4", 1, 1e6, NULL,
        "Calibration batches to take them from." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
sequential_mse_create (const struct qk_config *cfg, void **self)
{
  struct sequential_mse *o = qk_alloc (sizeof *o);

  if (o == NULL)
    return qk_oom ("sequential_mse");
  o->steps = (int) qk_config_int (cfg, "steps");
  o->samples = qk_config_int (cfg, "samples");
  o->batches = qk_config_int (cfg, "batches");
  *self = o;
  return 0;
}

static void
sequential_mse_destroy (void *self)
{
  qk_free (self);
}

/* ---- a layer ---------------------------------------------------------------- */

static int
search_open (const struct ptqlayer *l, const struct qk_quantizer *qz,
             struct search *s)
{
  const size_t k = (size_t) l->channels;
  const size_t weights = k * (size_t) l->depth;
  char *m = qk_alloc (k * 2 * (sizeof *s->grid + sizeof *s->error)
                      + (2 * k + weights + k * (size_t) l->n) * sizeof *s->w);

  if (m == NULL)
    return qk_oom ("%zu weights", weights);
  s->memory = m;
  s->error = (double *) m;
  s->least = s->error + k;
  s->grid = (struct qk_qparams *) (s->least + k);
  s->best = s->grid + k;
  s->min = (float *) (s->best + k);
  s->max = s->min + k;
  s->w = s->max + k;
  s->y = s->w + weights;
  s->one = qk_quantizer_channels (qz) == 1;
  for (size_t c = 0; c < k; c++)
    qk_range_find (l->w + c * (size_t) l->depth, (size_t) l->depth, &s->min[c],
                   &s->max[c]);
  for (size_t c = 1; s->one && c < k; c++) {
    s->min[0] = fminf (s->min[0], s->min[c]);
    s->max[0] = fmaxf (s->max[0], s->max[c]);
  }
  return 0;
}

/* The grids of the share G of the ranges. */
static int
make_grids (const struct ptqlayer *l, double g, struct search *s)
{
  for (int64_t c = 0; c < l->channels; c++) {
    struct qk_qparams *q = &s->grid[c];
    int r;

    *q = (struct qk_qparams){ .qmin = (int32_t) l->qmin,
                              .qmax = (int32_t) l->qmax };
    if (s->one && c > 0)
      *q = s->grid[0];
    else if ((r = qk_calculate_qparams ((float) (g * (double) s->min[c]),
                                        (float) (g * (double) s->max[c]), true,
                                        q))
             < 0)
      return r;
  }
  return 0;
}

QK_LOOP (static, quantize_row,
         (const float *restrict w, int64_t n, float scale, float lo, float hi,
          float *restrict out),
         (w, n, scale, lo, hi, out))
{
  const float inverse = 1.0f / scale;

  for (int64_t i = 0; i < n; i++) {
    float r = rintf (w[i] * inverse);

    r = r > lo ? r : lo;
    r = r < hi ? r : hi;
    out[i] = r * scale;
  }
}

/* The squared errors of the outputs of each channel; all in the first one's
 * where they share a grid. */
static void
measure (const struct ptqlayer *l, struct search *s)
{
  const int64_t k = l->channels;

#ifdef _OPENMP
#pragma omp parallel for num_threads(l->threads) schedule(static)
#endif
  for (int64_t c = 0; c < k; c++)
    quantize_row (l->w + c * l->depth, l->depth, s->grid[c].scale, l->qmin,
                  l->qmax, s->w + c * l->depth);
  ptqlayer_product (l, l->x, l->n, s->w, true, s->y);
  memset (s->error, 0, (size_t) k * sizeof *s->error);
  for (int64_t i = 0; i < l->n; i++)
    for (int64_t c = 0; c < k; c++) {
      const double e
        = (double) s->y[i * k + c] - (double) l->target[i * k + c];

      s->error[s->one ? 0 : c] += e * e;
    }
}

/* The best grids to s->best; *BEFORE and *AFTER: errors with the grids that are
 * there and with these. */
static int
find (const struct sequential_mse *o, const struct ptqlayer *l,
      struct search *s, double *before, double *after)
{
  const int64_t grids = s->one ? 1 : l->channels;
  int r;

  for (int64_t c = 0; c < l->channels; c++) {
    s->grid[c] = (struct qk_qparams){ l->scale[c], 0, (int32_t) l->qmin,
                                      (int32_t) l->qmax };
    s->best[c] = s->grid[c];
  }
  measure (l, s);
  memcpy (s->least, s->error, (size_t) l->channels * sizeof *s->least);
  *before = *after = 0.0;
  for (int64_t c = 0; c < grids; c++)
    *before += s->least[c];
  for (int i = o->steps; i > 0; i--) {
    if ((r = make_grids (l, (double) i / o->steps, s)) < 0)
      return r;
    measure (l, s);
    for (int64_t c = 0; c < grids; c++)
      if (s->error[c] < s->least[c]) {
        s->least[c] = s->error[c];
        s->best[c] = s->grid[c];
      }
  }
  for (int64_t c = 0; c < grids; c++)
    *after += s->least[c];
  return 0;
}

/* Whether the node's fake-quantizer keeps integers. */
static int
check_fit (const struct ptqlayer *l, struct qk_ptq *p, int node,
           struct search *s, bool *fits)
{
  const int64_t n = l->channels * l->depth;
  float *q = qk_alloc ((size_t) n * sizeof *q);
  int r;

  if (q == NULL)
    return qk_oom ("%lld weights", (long long) n);
  for (int64_t c = 0; c < l->channels; c++)
    quantize_row (l->w + c * l->depth, l->depth, l->scale[c], l->qmin, l->qmax,
                  s->w + c * l->depth);
  for (int64_t i = 0; i < n; i++)
    q[i] = rintf (s->w[i] / l->scale[i / l->depth]);
  r = ptqlayer_fits (p, node, s->w, q, n, fits);
  qk_free (q);
  return r;
}

static int
do_layer (const struct sequential_mse *o, struct qk_ptq *p, int node,
          const struct ptqlayer *l, struct totals *total)
{
  struct search s;
  double before, after;
  bool fits = true;
  int r = search_open (l, qk_ptq_weight_quantizer (p, node), &s);

  if (r < 0)
    return r;
  r = check_fit (l, p, node, &s, &fits);
  if (r == 0 && fits)
    r = find (o, l, &s, &before, &after);
  if (r == 0 && fits)
    r = qk_ptq_set_weight_grid (p, node, s.best);
  if (r == 0 && fits) {
    total->layers++;
    total->ratio += before > 0.0 ? after / before : 1.0;
  }
  total->skipped += !fits;
  qk_free (s.memory);
  return r;
}

/* ---- all of them -------------------------------------------------------------- */

static int
do_node (const struct sequential_mse *o, struct qk_ptq *p, int node,
         const char *name, struct totals *total)
{
  struct ptqlayer l;
  int r;

  if (qk_ptq_weight_grid_stays (p, node)) {
    total->skipped++;
    return 0;
  }
  if ((r = ptqlayer_open (p, node, o->samples, o->batches, &l)) == 0) {
    r = do_layer (o, p, node, &l, total);
    ptqlayer_close (&l);
  }
  return r < 0 ? qk_error_prefix (r, "sequential_mse of '%s': ", name) : 0;
}

static int
sequential_mse_after (void *self, struct qk_ptq *p)
{
  const int n = qk_ptq_count (p);
  struct totals total = { 0 };
  struct qk_ptq_node info;
  int r = 0;

  for (int i = 0; r == 0 && i < n; i++) {
    qk_ptq_node (p, i, &info);
    r = qk_ptq_progress (p, "sequential_mse", i, n);
    if (r == 0 && info.channels > 0 && info.quantized)
      r = do_node (self, p, i, info.name, &total);
  }
  qk_ptq_progress (p, "sequential_mse", n, n);
  if (r < 0)
    return r;
  qk_ptq_note (p,
               "sequential_mse: %d layers, squared error of a layer's outputs "
               "on average %.3g times what it was",
               total.layers,
               total.layers > 0 ? total.ratio / total.layers : 1.0);
  if (total.skipped > 0)
    qk_ptq_note (p,
                 "sequential_mse: %d layers left alone, whose fake-quantizer "
                 "reshapes weights or whose grid the network's file says",
                 total.skipped);
  return 0;
}

static const struct qk_ptq_class sequential_mse = {
  .cls
  = QK_CLASS (struct qk_ptq_class, QK_KIND_PTQ, "sequential_mse",
              "Ranges of weights by the error of a layer's outputs", options),
  .create = sequential_mse_create,
  .destroy = sequential_mse_destroy,
  .after = sequential_mse_after,
};

QK_PLUGIN ("sequential_mse", "1.0", "LGPL-2.1-or-later", &sequential_mse.cls);
