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

#include "patches/patches.h"
#include "task.h"

/* Taking samples of one layer's windows. */
struct sampling {
  const struct qk_op *op;
  int64_t wanted, per_batch, n, size;
  float *real, *quantized; /* wanted x size */
  struct qk_rng rng;
};

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
      { "batches", QK_OPT_INT, "4", 0, 1e6, NULL,
        "Calibration batches to take them from; 0 = all." },
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

static int
take_samples (void *cookie, const struct qk_tensor *real,
              const struct qk_tensor *quantized)
{
  struct sampling *s = cookie;
  const int64_t positions = patches_count (s->op, real);
  const int64_t samples = real->shape.dims[0];

  for (int64_t i = 0; i < s->per_batch && s->n < s->wanted; i++, s->n++) {
    const int64_t at
      = (int64_t) qk_rng_below (&s->rng, (uint64_t) (samples * positions));

    patches_copy (s->op, real, at / positions, at % positions,
                  s->real + s->n * s->size);
    patches_copy (s->op, quantized, at / positions, at % positions,
                  s->quantized + s->n * s->size);
  }
  return 0;
}

/* Scales and the range of the node's weights, for the task. */
static void
take_grid (struct qk_ptq *p, int node, struct adaround_task *t)
{
  const struct qk_quantizer *qz = qk_ptq_weight_quantizer (p, node);
  const struct qk_qparams *grid = qk_quantizer_qparams (qz);
  const bool one = qk_quantizer_channels (qz) == 1;

  for (int64_t k = 0; k < t->channels; k++)
    t->scale[k] = grid[one ? 0 : k].scale;
  t->qmin = (float) grid[0].qmin;
  t->qmax = (float) grid[0].qmax;
}

/* Whether the fake-quantizer makes the integers Q of weights Q * scale; one
 * that reshapes weights does not. */
static int
check_grid (struct qk_ptq *p, int node, const struct adaround_task *t,
            const float *q, bool *same)
{
  const int64_t n = t->channels * t->depth;
  float *w = qk_alloc ((size_t) n * (sizeof *w + 1));
  int8_t *i8;
  int r;

  if (w == NULL)
    return qk_oom ("adaround");
  i8 = (int8_t *) (w + n);
  for (int64_t i = 0; i < n; i++)
    w[i] = q[i] * t->scale[i / t->depth];
  r = qk_quantizer_forward_i8 (qk_ptq_weight_quantizer (p, node), w,
                               (size_t) n, i8);
  *same = true;
  for (int64_t i = 0; r == 0 && i < n; i++)
    *same = *same && (float) i8[i] == q[i];
  if (r == 0 && *same)
    r = qk_ptq_set_weight (p, node, w, NULL);
  qk_free (w);
  return r;
}

/* The outputs wanted, from the inputs in the float network. */
static int
make_target (struct qk_ptq *p, int node, struct adaround_task *t,
             const float *x)
{
  float *current = t->w; /* its room, for the float weights */
  int r = qk_ptq_real_weight (p, node, current, t->bias);

  if (r < 0)
    return r;
  adaround_product (t, x, t->n, current, true, t->target);
  return qk_ptq_get_weight (p, node, t->w, t->bias);
}

static int
round_node (const struct adaround_options *opt, struct qk_ptq *p, int node,
            struct sampling *s, struct adaround_task *t, struct totals *total)
{
  double before, after;
  int64_t changed;
  bool same;
  float *q;
  int r;

  t->n = s->n;
  t->x = s->quantized;
  take_grid (p, node, t);
  if ((r = make_target (p, node, t, s->real)) < 0)
    return r;
  q = s->real; /* no longer needed, but perhaps too small */
  if (s->wanted * s->size < t->channels * t->depth)
    q = qk_alloc ((size_t) (t->channels * t->depth) * sizeof *q);
  if (q == NULL)
    return qk_oom ("adaround");
  changed = adaround_solve (t, opt, q, &before, &after);
  r = changed < 0 ? (int) changed : check_grid (p, node, t, q, &same);
  if (q != s->real)
    qk_free (q);
  if (r < 0)
    return r;
  if (!same) {
    total->skipped++;
    return 0;
  }
  total->layers++;
  total->weights += t->channels * t->depth;
  total->changed += changed;
  total->ratio += before > 0.0 ? after / before : 1.0;
  return 0;
}

static int
do_node (const struct adaround_options *opt, struct qk_ptq *p, int node,
         const struct qk_ptq_node *info, struct totals *total)
{
  struct adaround_task t = {
    .channels = info->channels,
    .depth = info->per_channel,
    .groups = info->groups,
    .lo = info->lo,
    .hi = info->hi,
    .threads = qk_ptq_threads (p),
    .float_backend = qk_ptq_float_backend (p),
    .seed = qk_ptq_seed (p),
  };
  struct sampling s = { .wanted = opt->samples };
  const int64_t batches = opt->batches > 0 ? opt->batches : 1;
  const size_t k = (size_t) t.channels;
  float *m = NULL;
  int r = qk_ptq_op (p, node, &s.op);

  if (r < 0)
    return r;
  s.size = patches_size (s.op);
  s.per_batch = (s.wanted + batches - 1) / batches;
  qk_rng_seed (&s.rng, t.seed, (uint64_t) node);
  s.real = qk_alloc (2 * (size_t) (s.wanted * s.size) * sizeof (float));
  m = qk_alloc ((k * (size_t) (t.depth + 2 + s.wanted)) * sizeof *m);
  if (s.real == NULL || m == NULL) {
    r = qk_oom ("node '%s': %lld samples", info->name, (long long) s.wanted);
    goto end;
  }
  s.quantized = s.real + s.wanted * s.size;
  t.bias = m;
  t.scale = m + k;
  t.w = m + 2 * k;
  t.target = t.w + k * (size_t) t.depth;
  r = qk_ptq_inputs (p, node, opt->batches, take_samples, &s);
  if (r == 0)
    r = round_node (opt, p, node, &s, &t, total);
end:
  qk_free (s.real);
  qk_free (m);
  return r < 0 ? qk_error_prefix (r, "adaround of '%s': ", info->name) : 0;
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
      r = do_node (opt, p, i, &info, &total);
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
