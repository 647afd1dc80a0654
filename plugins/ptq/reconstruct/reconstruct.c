/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reconstruct.c: block reconstruction (BRECQ, Li et al. 2021, arXiv:2102.05426)
 * with activations quantized at random (QDrop, Wei et al. 2022,
 * arXiv:2203.05740).
 *
 * Block by block from the first, with y what the block gives in the float network
 * and y' what it gives in the quantized one, fed with what the quantized blocks
 * before it give:
 *   min  mean |y - y'|^2 + strength sum (1 - |2 h (v) - 1|^beta)
 * over the rounding v of the block's weights (softround.h) and the step sizes of
 * its activations (steps.h), by Adam.  Weights end on their integers, whose
 * scales stay; the activations' grids get the trained scales. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/ptq.h>

#include "rounding.h"
#include "steps.h"

/* Samples of a step, where activations are large. */
#define FEWEST 4

struct reconstruct {
  int64_t samples, batch, positions, iterations;
  int join, limit;
  double rate, step_rate, strength, warm, drop;
};

struct totals {
  int blocks, layers;
  int64_t weights, changed;
  double ratio; /* sum of the errors left, in logarithms */
};

/* A block at work: nodes first .. last - 1. */
struct task {
  const struct reconstruct *opt;
  struct qk_ptq *p;
  struct qk_ptq_walk *walk;
  struct qk_ptq_block *block;
  int first, last;
  int64_t batch;             /* samples of a step */
  struct rounding *rounding; /* owned */
  struct step *step;         /* owned */
  int roundings, steps;
  int64_t done, total; /* iterations, for the progress bar */
};

static const struct qk_option options[]
  = { { "samples", QK_OPT_INT, "1024", 1, 1e9, NULL,
        "Calibration samples to learn from, at most those of ptq.batches." },
      { "iterations", QK_OPT_INT, "1000", 1, 10000000, NULL,
        "Steps of the optimizer for each block." },
      { "batch", QK_OPT_INT, "32", 1, 65536, NULL,
        "The most samples of a step." },
      { "positions", QK_OPT_INT, "16384", 1, 1e9, NULL,
        "Fewer samples, but 4, where the block's largest activation would "
        "have more "
        "positions in a step." },
      { "lr", QK_OPT_FLOAT, "0.01", 1e-6, 10, NULL,
        "Learning rate of the rounding of weights." },
      { "step_lr", QK_OPT_FLOAT, "0.01", 0, 10, NULL,
        "Learning rate of the logarithms of activations' step sizes; a cosine "
        "takes "
        "it to 0." },
      { "strength", QK_OPT_FLOAT, "0.01", 0, 1000, NULL,
        "Weight of the term that pulls towards integers." },
      { "warm_start", QK_OPT_FLOAT, "0.2", 0, 0.9, NULL,
        "Share of the steps before that term is used." },
      { "drop", QK_OPT_FLOAT, "0.5", 0, 1, NULL,
        "Probability that an element of an activation is not quantized in a "
        "step." },
      { "join", QK_OPT_INT, "3", 1, 1000, NULL,
        "Blocks are joined up to so many layers with weights." },
      { "limit", QK_OPT_INT, "10", 1, 1000, NULL,
        "The most layers with weights of a block." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
reconstruct_create (const struct qk_config *cfg, void **self)
{
  struct reconstruct *o = qk_alloc (sizeof *o);

  if (o == NULL)
    return qk_oom ("reconstruct");
  o->samples = qk_config_int (cfg, "samples");
  o->iterations = qk_config_int (cfg, "iterations");
  o->batch = qk_config_int (cfg, "batch");
  o->positions = qk_config_int (cfg, "positions");
  o->rate = qk_config_float (cfg, "lr");
  o->step_rate = qk_config_float (cfg, "step_lr");
  o->strength = qk_config_float (cfg, "strength");
  o->warm = qk_config_float (cfg, "warm_start");
  o->drop = qk_config_float (cfg, "drop");
  o->join = (int) qk_config_int (cfg, "join");
  o->limit = (int) qk_config_int (cfg, "limit");
  *self = o;
  return 0;
}

static void
reconstruct_destroy (void *self)
{
  qk_free (self);
}

/* ---- blocks -------------------------------------------------------------------*/

static bool
has_weights (const struct qk_ptq *p, int node)
{
  struct qk_ptq_node info;

  qk_ptq_node (p, node, &info);
  return info.role == QK_ROLE_WEIGHTED;
}

/* From node FIRST on: where all paths meet again, or behind so many layers with
 * weights as a block may have; *LAYERS of them. */
static int
next_meeting (const struct task *t, int first, int *layers)
{
  const int n = qk_ptq_count (t->p);
  int i = first;

  *layers = 0;
  do
    *layers += has_weights (t->p, i++);
  while (i < n && qk_ptq_walk_width (t->walk, i) > 1
         && *layers < t->opt->limit);
  return i;
}

/* The end of the block that begins at FIRST: residual blocks and the like are
 * what lies between two meetings; shorter pieces are joined. */
static int
end_of_block (const struct task *t, int first)
{
  const int n = qk_ptq_count (t->p);
  int layers, more, next, end = next_meeting (t, first, &layers);

  while (end < n) {
    next = next_meeting (t, end, &more);
    if (more > 0 && layers + more > t->opt->join)
      break;
    layers += more;
    end = next;
  }
  return end;
}

/* ---- a block ------------------------------------------------------------------*/

static void
task_close (struct task *t)
{
  for (int i = 0; i < t->roundings; i++)
    rounding_close (&t->rounding[i]);
  free (t->rounding);
  free (t->step);
  qk_ptq_block_free (t->block);
  t->rounding = NULL;
  t->step = NULL;
  t->block = NULL;
  t->roundings = t->steps = 0;
}

/* What of node I is trained. */
static int
open_node (struct task *t, int i)
{
  struct qk_ptq_node info;
  bool fits = true;
  int owner, r = 0;

  qk_ptq_node (t->p, i, &info);
  if (info.channels > 0 && qk_ptq_weight_quantizer (t->p, i) != NULL) {
    r = rounding_open (&t->rounding[t->roundings], t->p, t->block, i, &fits);
    if (r == 0 && fits)
      t->roundings++;
    else if (r == 0)
      qk_ptq_note (t->p,
                   "reconstruct: the weights of '%s' are left alone, their "
                   "fake-quantizer reshapes them",
                   info.name);
  }
  if (r == 0 && qk_ptq_grid (t->p, i, &owner) != NULL && owner == i
      && !qk_ptq_grid_stays (t->p, i))
    r = step_open (&t->step[t->steps++], t->p, t->block, i);
  return r;
}

/* Samples of a step of the block: where activations are large, few have as much to
 * tell as many have elsewhere, and cost as much. */
static int64_t
batch_of_block (const struct task *t)
{
  const struct reconstruct *o = t->opt;
  struct qk_ptq_node info;
  int64_t most = 1, n;

  for (int i = t->first; i < t->last; i++) {
    qk_ptq_node (t->p, i, &info);
    most = info.positions > most ? info.positions : most;
  }
  n = o->positions / most;
  n = n < FEWEST ? FEWEST : n;
  return n < o->batch ? n : o->batch;
}

/* The block as something to train, empty where that cannot be. */
static int
task_open (struct task *t, struct drop *drop)
{
  const struct qk_ptq_block_options opt = { .batch = t->batch,
                                            .real = t->opt->drop,
                                            .forward = drop_forward,
                                            .backward = drop_backward,
                                            .cookie = drop };
  const size_t nodes = (size_t) (t->last - t->first);
  int i, r;

  drop->of_256 = (uint32_t) lrint (256.0 * t->opt->drop);
  r = qk_ptq_block_new (t->walk, &opt, &t->block);
  if (r == -ENOTSUP) {
    qk_ptq_note (t->p, "reconstruct: a block is left alone: %s",
                 qk_error_message ());
    return 0;
  }
  if (r < 0)
    return r;
  t->rounding = calloc (nodes, sizeof *t->rounding);
  t->step = calloc (nodes, sizeof *t->step);
  if (t->rounding == NULL || t->step == NULL)
    return qk_oom ("reconstruct");
  for (i = t->first; r == 0 && i < t->last; i++)
    r = open_node (t, i);
  return r;
}

/* Some of the walk's samples, by chance. */
static void
draw (struct task *t, struct qk_rng *rng, int64_t *sample)
{
  const uint64_t all = (uint64_t) qk_ptq_walk_samples (t->walk);

  for (int64_t i = 0; i < t->batch; i++)
    sample[i] = (int64_t) qk_rng_below (rng, all);
}

static int
iterate (struct task *t, int64_t k, struct qk_rng *rng, int64_t *sample)
{
  const struct reconstruct *o = t->opt;
  const int threads = qk_ptq_threads (t->p);
  const struct softround_step by
    = softround_schedule (k, o->iterations, o->warm, o->rate, o->strength);
  const double down
    = 0.5 * (1.0 + cos (M_PI * (double) k / (double) o->iterations));
  double error;
  int i, r;

  draw (t, rng, sample);
  for (i = 0; i < t->roundings; i++)
    rounding_show (&t->rounding[i], threads);
  r = qk_ptq_block_gradient (t->block, sample, t->batch,
                             (uint64_t) (t->first * o->iterations + k),
                             &error);
  if (r < 0)
    return r;
  for (i = 0; i < t->roundings; i++)
    rounding_move (&t->rounding[i], &by, threads);
  for (i = 0; i < t->steps && o->step_rate > 0.0; i++)
    step_move (&t->step[i], (double) by.rate / o->rate * o->step_rate * down);
  return qk_ptq_progress (t->p, "reconstruct", ++t->done, t->total);
}

static int
train (struct task *t)
{
  int64_t *sample = calloc ((size_t) t->batch, sizeof *sample);
  struct qk_rng rng;
  int64_t k;
  int r = 0;

  if (sample == NULL)
    return qk_oom ("reconstruct");
  qk_rng_seed (&rng, qk_ptq_seed (t->p), 0xb10c0000u + (uint64_t) t->first);
  for (k = 0; r == 0 && k < t->opt->iterations; k++)
    r = iterate (t, k, &rng, sample);
  free (sample);
  return r;
}

/* Give the network what was trained; *FITS: whether all weights are what they are
 * meant to be. */
static int
store (const struct task *t, int64_t *changed, bool *fits)
{
  bool one;
  int i, r = 0;

  *fits = true;
  for (i = 0; r == 0 && i < t->roundings; i++) {
    r = rounding_store (&t->rounding[i], t->p, changed, &one);
    *fits = *fits && one;
  }
  for (i = 0; r == 0 && i < t->steps; i++)
    r = step_store (&t->step[i], t->p, false);
  return r;
}

/* Give it back what it had. */
static int
restore (const struct task *t)
{
  int i, r = 0;

  for (i = 0; r == 0 && i < t->roundings; i++)
    r = rounding_restore (&t->rounding[i], t->p);
  for (i = 0; r == 0 && i < t->steps; i++)
    r = step_store (&t->step[i], t->p, true);
  return r;
}

/* Train the block, whose error was BEFORE, and keep what is better. */
static int
improve (struct task *t, double before, struct totals *total)
{
  int64_t changed = 0;
  double after;
  bool fits;
  int r;

  if ((r = train (t)) < 0 || (r = store (t, &changed, &fits)) < 0
      || (r = qk_ptq_walk_run (t->walk, &after)) < 0)
    return r;
  total->blocks++;
  total->layers += t->roundings;
  for (int i = 0; i < t->roundings; i++)
    total->weights += t->rounding[i].channels * t->rounding[i].depth;
  if (fits && after < before) {
    total->changed += changed;
    total->ratio += log (after / before);
    return 0;
  }
  return (r = restore (t)) < 0 ? r : qk_ptq_walk_run (t->walk, &after);
}

static int
do_block (struct task *t, struct totals *total)
{
  struct drop drop;
  double before;
  int r;

  t->batch = batch_of_block (t);
  if ((r = qk_ptq_walk_next (t->walk, t->last)) < 0
      || (r = qk_ptq_walk_run (t->walk, &before)) < 0
      || (r = task_open (t, &drop)) < 0)
    return r;
  return t->roundings > 0 && before > 0.0 ? improve (t, before, total) : 0;
}

static void
report (const struct qk_ptq *p, const struct totals *total)
{
  const double n = total->blocks > 0 ? total->blocks : 1;

  qk_ptq_note (
    p,
    "reconstruct: %d blocks of %d layers, %.1f %% of their weights "
    "not rounded to the nearest, squared error of a block's outputs "
    "in the geometric mean %.3g times what it was",
    total->blocks, total->layers,
    total->weights > 0
      ? 100.0 * (double) total->changed / (double) total->weights
      : 0.0,
    exp (total->ratio / n));
}

static int
reconstruct_after (void *self, struct qk_ptq *p)
{
  struct task t = { .opt = self, .p = p };
  const int n = qk_ptq_count (p);
  struct totals total = { 0 };
  int64_t blocks = 0;
  int r = qk_ptq_walk_new (p, t.opt->samples, &t.walk);

  for (t.first = 0; r == 0 && t.first < n;
       t.first = end_of_block (&t, t.first))
    t.total += t.opt->iterations;
  if (r == 0)
    r = qk_ptq_progress (p, "reconstruct", 0, t.total);
  for (t.first = 0; r == 0 && t.first < n; t.first = t.last) {
    t.last = end_of_block (&t, t.first);
    r = do_block (&t, &total);
    task_close (&t);
    t.done = ++blocks * t.opt->iterations;
  }
  qk_ptq_walk_free (t.walk);
  if (t.total > 0)
    qk_ptq_progress (p, "reconstruct", t.total, t.total);
  if (r < 0)
    return r;
  report (p, &total);
  return 0;
}

static const struct qk_ptq_class reconstruct = {
  .cls = QK_CLASS (
    struct qk_ptq_class, QK_KIND_PTQ, "reconstruct",
    "Rounding of weights and step sizes of activations learned block "
    "by block",
    options),
  .create = reconstruct_create,
  .destroy = reconstruct_destroy,
  .after = reconstruct_after,
};

QK_PLUGIN ("reconstruct", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &reconstruct.cls);
