/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adaround.c: adaptive rounding (Nagel et al. 2020, arXiv:2004.10568).
 *
 * Each weight w becomes s floor (w / s) or s (floor (w / s) + 1), whichever
 * makes the layer's output like the float network's.  Layer by layer, with
 * x the layer's inputs in the float network, x' those in the quantized one,
 * f the clamp behind the layer:
 *   min  mean |f (W x + b) - f (W~ x' + b')|^2 + strength sum (1 - |2 h - 1|^beta)
 *   W~ = s clip (floor (W / s) + h (V), qmin, qmax)
 *   h (V) = clip (1.2 sigmoid (V) - 0.1, 0, 1)
 * over V by Adam, beta going from 20 to 2, without the second term at the
 * beginning.  In the end h is rounded, so that the weights lie on the grid,
 * which stays as calibrated. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/ptq.h>

#include "task.h"

struct totals {
  int layers, skipped;
  int64_t weights, changed;
  double ratio; /* sum of the errors left */
};

static const struct qk_option options[]
  = { { "iterations", QK_OPT_INT, "2000", 1, 1000000, NULL,
        "Steps of the optimizer for each layer." },
      { "samples", QK_OPT_INT, "1024", 1, 1000000, NULL,
        "Output positions of each layer to learn from." },
      { "batches", QK_OPT_INT, "4", 1, 1e6, NULL,
        "Calibration batches to take them from." },
      { "batch", QK_OPT_INT, "64", 1, 65536, NULL, "Samples of a step." },
      { "lr", QK_OPT_FLOAT, "0.01", 1e-6, 10, NULL, "Learning rate." },
      { "strength", QK_OPT_FLOAT, "0.01", 0, 1000, NULL,
        "Weight of the term that pulls towards integers." },
      { "warm_start", QK_OPT_FLOAT, "0.2", 0, 0.9, NULL,
        "Share of the steps before that term is used." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
adaround_create (const struct qk_config *cfg, void **self)
{
  struct adaround_options *o = qk_alloc (sizeof *o);

  if (o == NULL)
    return qk_oom ("adaround");
  o->iterations = (int) qk_config_int (cfg, "iterations");
  o->samples = qk_config_int (cfg, "samples");
  o->batches = qk_config_int (cfg, "batches");
  o->rows = (int) qk_config_int (cfg, "batch");
  o->rate = qk_config_float (cfg, "lr");
  o->strength = qk_config_float (cfg, "strength");
  o->warm = qk_config_float (cfg, "warm_start");
  *self = o;
  return 0;
}

static void
adaround_destroy (void *self)
{
  qk_free (self);
}

/* Round the weights of the node; those are left alone whose fake-quantizer does
 * not keep integers. */
static int
round_node (const struct adaround_options *opt, struct qk_ptq *p, int node,
            const struct ptqlayer *l, struct totals *total)
{
  const int64_t n = l->channels * l->depth;
  float *q = qk_alloc (2 * (size_t) n * sizeof *q), *w = q + n;
  double before, after;
  int64_t changed;
  bool fits;
  int r;

  if (q == NULL)
    return qk_oom ("%lld weights", (long long) n);
  changed = adaround_solve (l, opt, qk_ptq_seed (p), q, &before, &after);
  for (int64_t i = 0; changed >= 0 && i < n; i++)
    w[i] = q[i] * l->scale[i / l->depth];
  r = changed < 0 ? (int) changed : ptqlayer_fits (p, node, w, q, n, &fits);
  if (r == 0 && fits)
    r = qk_ptq_set_weight (p, node, w, NULL);
  qk_free (q);
  if (r < 0 || !fits) {
    total->skipped += r == 0;
    return r;
  }
  total->layers++;
  total->weights += n;
  total->changed += changed;
  total->ratio += before > 0.0 ? after / before : 1.0;
  return 0;
}

static int
do_node (const struct adaround_options *opt, struct qk_ptq *p, int node,
         const char *name, struct totals *total)
{
  struct ptqlayer l;
  int r = ptqlayer_open (p, node, opt->samples, opt->batches, &l);

  if (r == 0) {
    r = round_node (opt, p, node, &l, total);
    ptqlayer_close (&l);
  }
  return r < 0 ? qk_error_prefix (r, "adaround of '%s': ", name) : 0;
}

static int
adaround_after (void *self, struct qk_ptq *p)
{
  const struct adaround_options *opt = self;
  const int n = qk_ptq_count (p);
  struct totals total = { 0 };
  struct qk_ptq_node info;
  int r = 0;

  for (int i = 0; r == 0 && i < n; i++) {
    qk_ptq_node (p, i, &info);
    r = qk_ptq_progress (p, "adaround", i, n);
    if (r == 0 && info.channels > 0 && info.quantized)
      r = do_node (opt, p, i, info.name, &total);
  }
  qk_ptq_progress (p, "adaround", n, n);
  if (r < 0)
    return r;
  qk_ptq_note (p,
               "adaround: %d layers, %.1f %% of their weights not rounded "
               "to the nearest, squared error of a layer's outputs on "
               "average %.3g times what it was",
               total.layers,
               total.weights > 0
                 ? 100.0 * (double) total.changed / (double) total.weights
                 : 0.0,
               total.layers > 0 ? total.ratio / total.layers : 1.0);
  if (total.skipped > 0)
    qk_ptq_note (p,
                 "adaround: %d layers left alone, their fake-quantizer "
                 "reshapes weights",
                 total.skipped);
  return 0;
}

static const struct qk_ptq_class adaround = {
  .cls = QK_CLASS (struct qk_ptq_class, QK_KIND_PTQ, "adaround",
                   "Rounding of weights learned layer by layer", options),
  .create = adaround_create,
  .destroy = adaround_destroy,
  .after = adaround_after,
};

QK_PLUGIN ("adaround", "1.0", "LGPL-2.1-or-later", &adaround.cls);
