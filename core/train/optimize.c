/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* optimize.c: moves parameters along their gradients. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "base/called.h"
#include "passes/passes.h"
#include "quant/quantizer-priv.h"
#include "train/clip.h"
#include "train/optimize.h"

/* Arrays of fewer numbers are not worth more than one thread. */
#define SHARED_MIN 4096

static int
add_trained (struct qk_optimize *o, const struct qk_trained *what)
{
  struct qk_trained *t;
  int i;

  t = realloc (o->trained, ((size_t) o->n + 1) * sizeof *t);
  if (t == NULL)
    return qk_oom ("optimizer");
  o->trained = t;
  t = &t[o->n++];
  *t = *what;
  for (i = 0; i < o->part[t->part].n_slots; i++) {
    t->slot[i] = qk_alloc (t->count * sizeof (float));
    if (t->slot[i] == NULL)
      return qk_oom ("optimizer: '%s'", t->name);
  }
  return 0;
}

static int
part_of (const struct qk_optimize_options *opt, const char *name,
         const char *file)
{
  return opt->group_of == NULL ? 0 : opt->group_of (opt->cookie, name, file);
}

/* The parameters of the network. */
static int
collect_params (struct qk_optimize *o, const struct qk_optimize_options *opt)
{
  int i, r = 0;

  for (i = 0; r == 0 && i < o->g->n_params; i++) {
    const struct qk_param *p = &o->g->param[i];
    struct qk_trained t = { .name = p->name };

    if (!(p->spec.flags & QK_PARAM_TRAINED) || p->frozen)
      continue;
    t.part = part_of (opt, p->name, qk_param_file_name (p));
    if (t.part < 0)
      return t.part;
    t.count = (size_t) qk_shape_count (&p->value.shape);
    t.value = p->value.data;
    t.grad = p->grad.data;
    t.decay
      = o->part[t.part].decay_all || !(p->spec.flags & QK_PARAM_NO_DECAY);
    r = add_trained (o, &t);
  }
  return r;
}

/* Those of its quantizers, which have no weight decay unless it is asked for. */
static int
collect_quantizers (struct qk_optimize *o,
                    const struct qk_optimize_options *opt)
{
  struct qk_quantizer_param qp[QK_FQ_MAX_PARAMS];
  struct qk_quantizer *qz;
  int i, j, n, r = 0;

  for (i = 0; r == 0 && (qz = qk_graph_next_quantizer (o->g, &i)) != NULL;) {
    struct qk_trained t = { .name = qk_quantizer_info (qz)->name };

    if ((n = qk_quantizer_params (qz, qp)) > 0
        && (t.part = part_of (opt, t.name, NULL)) < 0)
      return t.part;
    t.decay = o->part[t.part].decay_learned;
    for (j = 0; r == 0 && j < n; j++) {
      t.count = qp[j].count;
      t.value = qp[j].value;
      t.grad = qp[j].grad;
      r = add_trained (o, &t);
    }
  }
  return r;
}

static int
add_part (struct qk_optimize *o, const struct qk_optimize_options *opt,
          const struct qk_optimize_group *group)
{
  struct qk_optimize_part *p = &o->part[o->n_parts];
  int r;

  p->optimizer = group->optimizer != NULL ? group->optimizer : opt->optimizer;
  p->lr = (float) qk_config_float (group->cfg, "lr");
  p->decay_all = group->decay_all;
  p->decay_learned = group->decay_learned;
  r = QK_CALLED (&p->optimizer->cls, "create",
                 p->optimizer->create (group->cfg, &p->self));
  if (r < 0)
    return r;
  o->n_parts++;
  p->n_slots = p->optimizer->slots (p->self);
  if (p->n_slots < 0 || p->n_slots > QK_OPTIMIZER_MAX_SLOTS)
    return qk_error (
      -EINVAL, "optimizer '%s' wants %d slots, expected 0 to %d",
      p->optimizer->cls.name, p->n_slots, QK_OPTIMIZER_MAX_SLOTS);
  return 0;
}

int
qk_optimize_new (struct qk_graph *g, const struct qk_optimize_options *opt,
                 struct qk_optimize **out)
{
  struct qk_optimize *o = calloc (1, sizeof *o);
  int i, r;

  if (o == NULL)
    return qk_oom ("optimizer");
  o->g = g;
  o->schedule = opt->schedule;
  o->warmup = opt->warmup;
  o->gradients = opt->gradients;
  o->part = calloc ((size_t) opt->n_groups, sizeof *o->part);
  r = o->part == NULL ? qk_oom ("optimizer") : 0;
  for (i = 0; r == 0 && i < opt->n_groups; i++)
    r = add_part (o, opt, &opt->group[i]);
  if (r < 0
      || (r = QK_CALLED (
            &o->schedule->cls, "create",
            o->schedule->create (opt->schedule_cfg, &o->schedule_self)))
           < 0
      || (r = collect_params (o, opt)) < 0
      || (r = collect_quantizers (o, opt)) < 0)
    goto error;
  if (o->n == 0 && g->n_params > 0) {
    r = qk_error (-EINVAL, "freeze leaves no parameter to train");
    goto error;
  }
  if ((opt->ema > 0 && (r = qk_ema_new (g, opt->ema, &o->ema)) < 0)
      || (r = qk_oscillation_new (g, &opt->oscillation, &o->oscillation)) < 0)
    goto error;
  *out = o;
  return 0;

error:
  qk_optimize_free (o);
  return r;
}

void
qk_optimize_free (struct qk_optimize *o)
{
  int i, j;

  if (o == NULL)
    return;
  for (i = 0; i < o->n; i++)
    for (j = 0; j < QK_OPTIMIZER_MAX_SLOTS; j++)
      qk_free (o->trained[i].slot[j]);
  free (o->trained);
  for (i = 0; i < o->n_parts; i++)
    o->part[i].optimizer->destroy (o->part[i].self);
  free (o->part);
  qk_ema_free (o->ema);
  qk_oscillation_free (o->oscillation);
  if (o->schedule_self != NULL)
    o->schedule->destroy (o->schedule_self);
  free (o);
}

/* The factor on the learning rate at the next step: the schedule's, whose
 * steps begin after the warm-up. */
static double
factor_now (const struct qk_optimize *o, int64_t total, int64_t per_epoch)
{
  const int64_t t = o->t < total ? o->t : total - 1;
  const double rise = floor (o->warmup * (double) per_epoch);
  const int64_t warm = rise < (double) total ? (int64_t) rise : total - 1;

  if (rise < 1)
    return o->schedule->factor (o->schedule_self, t, total, per_epoch);
  if ((double) t < rise)
    return ((double) t + 1) / rise
           * o->schedule->factor (o->schedule_self, 0, total - warm,
                                  per_epoch);
  return o->schedule->factor (o->schedule_self, t - warm, total - warm,
                              per_epoch);
}

float
qk_optimize_lr (const struct qk_optimize *o, int64_t total, int64_t per_epoch)
{
  return (float) (o->part[0].lr * factor_now (o, total, per_epoch));
}

/* The part of thread T of N in COUNT numbers begins here; whole cache
 * lines. */
static size_t
part (size_t count, int t, int n)
{
  return t == n ? count : count * (size_t) t / (size_t) n & ~(size_t) 15;
}

/* What thread T of N moves: its part of each large array, the same that it
 * computed the gradient of, and every Nth of the small ones. */
static void
move (struct qk_optimize *o, double factor, int t, int n)
{
  struct qk_optimizer_step step = { .t = o->t };
  float *slot[QK_OPTIMIZER_MAX_SLOTS] = { NULL };
  int i, j;

  for (i = 0; i < o->n; i++) {
    const struct qk_trained *x = &o->trained[i];
    const struct qk_optimize_part *p = &o->part[x->part];
    size_t from = 0, to = x->count;

    if (x->count >= SHARED_MIN) {
      from = part (x->count, t, n);
      to = part (x->count, t + 1, n);
    } else if (i % n != t)
      continue;
    for (j = 0; j < p->n_slots; j++)
      slot[j] = x->slot[j] + from;
    step.lr = (float) (p->lr * factor);
    step.decay = x->decay;
    p->optimizer->step (p->self, &step, x->value + from, x->grad + from, slot,
                        to - from);
    memset (x->grad + from, 0, (to - from) * sizeof (float));
  }
}

/* Whether several threads may share an array's step. */
static bool
all_elementwise (const struct qk_optimize *o)
{
  for (int i = 0; i < o->n_parts; i++)
    if (!o->part[i].optimizer->elementwise)
      return false;
  return true;
}

/* What backward added up for parameters that do not move. */
static void
clear_frozen (const struct qk_graph *g)
{
  int i;

  for (i = 0; i < g->n_params; i++)
    if (g->param[i].frozen && g->param[i].grad.data != NULL)
      memset (g->param[i].grad.data, 0,
              sizeof (float)
                * (size_t) qk_shape_count (&g->param[i].value.shape));
}

/* ---- several batches a step --------------------------------------------- */

static bool
accumulates (const struct qk_optimize *o)
{
  return o->gradients.accumulate > 1;
}

int64_t
qk_optimize_steps (const struct qk_optimize *o, int64_t batches)
{
  const int64_t n = accumulates (o) ? o->gradients.accumulate : 1;

  return (batches + n - 1) / n;
}

/* The samples that a step is expected to have. */
static double
full_samples (const struct qk_optimize *o)
{
  return (double) o->gradients.accumulate * (double) o->gradients.batch;
}

static void
scale_gradients (struct qk_optimize *o, float by)
{
  for (int i = 0; i < o->n; i++)
    for (size_t k = 0; k < o->trained[i].count; k++)
      o->trained[i].grad[k] *= by;
}

struct qk_batch_part
qk_optimize_begin (struct qk_optimize *o, int64_t samples,
                   struct qk_comm *comm)
{
  struct qk_batch_part part = { 1, (uint64_t) o->t };

  if (!accumulates (o))
    return part;
  part.weight = (double) samples / full_samples (o);
  part.number = (uint64_t) (o->t * o->gradients.accumulate + o->gathered);
  if (o->gathered > 0 && qk_comm_rank (comm) > 0)
    scale_gradients (o, 0);
  return part;
}

bool
qk_optimize_gathered (struct qk_optimize *o, int64_t samples)
{
  if (!accumulates (o))
    return true;
  o->gathered++;
  o->samples += samples;
  return o->gathered == o->gradients.accumulate;
}

/* What becomes of the gradients before the step, at which DONE of the training
 * has been made. */
static int
treat_gradients (struct qk_optimize *o, double done, int threads)
{
  const struct qk_gradients *g = &o->gradients;
  int r;

  /* fewer samples than expected, as at the end of an epoch */
  if (accumulates (o) && o->samples > 0
      && (double) o->samples != full_samples (o))
    scale_gradients (o, (float) (full_samples (o) / (double) o->samples));
  o->gathered = o->samples = 0;
  if (o->oscillation != NULL
      && (r = qk_oscillation_damp (o->oscillation, o->g, done)) < 0)
    return r;
  if (g->clip_value > 0)
    qk_clip_value (o, g->clip_value, threads);
  return g->clip_norm > 0 ? qk_clip_norm (o, g->clip_norm, threads) : 0;
}

/* ---- the step ------------------------------------------------------------ */

int
qk_optimize_step (struct qk_optimize *o, int64_t total, int64_t per_epoch)
{
  struct qk_quantizer_param qp[QK_FQ_MAX_PARAMS];
  const double factor = factor_now (o, total, per_epoch);
  struct qk_quantizer *qz;
  int i, r, all = 1, threads;

#ifdef _OPENMP
  all = omp_get_max_threads ();
#endif
  if ((r = treat_gradients (o, (double) o->t / (double) total, all)) < 0)
    return r;
  threads = all_elementwise (o) ? all : 1;
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static, 1)
#endif
  for (i = 0; i < threads; i++)
    move (o, factor, i, threads);
  clear_frozen (o->g);
  for (i = 0; (qz = qk_graph_next_quantizer (o->g, &i)) != NULL;)
    if (qk_quantizer_params (qz, qp) > 0
        && (r = qk_quantizer_refresh (qz)) < 0)
      return r;
  o->t++;
  if (o->oscillation != NULL
      && (r = qk_oscillation_step (o->oscillation, o->g,
                                   (double) o->t / (double) total))
           < 0)
    return r;
  if (o->ema != NULL)
    qk_ema_update (o->ema, o->t == 1, all);
  return 0;
}

void
qk_optimize_epoch (struct qk_optimize *o, double score, bool larger_is_better)
{
  if (o->schedule->epoch != NULL)
    o->schedule->epoch (o->schedule_self, score, larger_is_better);
}

void
qk_optimize_new_grids (struct qk_optimize *o)
{
  if (o->ema != NULL)
    qk_ema_restart (o->ema);
  if (o->oscillation != NULL)
    qk_oscillation_restart (o->oscillation);
}
