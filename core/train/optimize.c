/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* optimize.c: moves parameters along their gradients. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "base/called.h"
#include "passes/passes.h"
#include "quant/quantizer-priv.h"
#include "train/optimize.h"

/* Arrays of fewer numbers are not worth more than one thread. */
#define SHARED_MIN 4096

static int
add_trained (struct qk_optimize *o, const char *name, size_t count,
             float *value, float *grad, bool decay)
{
  struct qk_trained *t;
  int i;

  t = realloc (o->trained, ((size_t) o->n + 1) * sizeof *t);
  if (t == NULL)
    return qk_oom ("optimizer");
  o->trained = t;
  t = &t[o->n++];
  memset (t, 0, sizeof *t);
  t->name = name;
  t->count = count;
  t->value = value;
  t->grad = grad;
  t->decay = decay;
  for (i = 0; i < o->n_slots; i++) {
    t->slot[i] = qk_alloc (count * sizeof (float));
    if (t->slot[i] == NULL)
      return qk_oom ("optimizer: '%s'", name);
  }
  return 0;
}

static int
collect (struct qk_optimize *o, bool decay_all)
{
  struct qk_graph *g = o->g;
  struct qk_quantizer_param qp[QK_FQ_MAX_PARAMS];
  struct qk_quantizer *qz;
  int i, j, n, r;

  for (i = 0; i < g->n_params; i++) {
    struct qk_param *p = &g->param[i];
    const bool decay = decay_all || !(p->spec.flags & QK_PARAM_NO_DECAY);

    if (!(p->spec.flags & QK_PARAM_TRAINED))
      continue;
    r = add_trained (o, p->name, (size_t) qk_shape_count (&p->value.shape),
                     p->value.data, p->grad.data, decay);
    if (r < 0)
      return r;
  }
  for (i = 0; (qz = qk_graph_next_quantizer (g, &i)) != NULL;) {
    n = qk_quantizer_params (qz, qp);
    for (j = 0; j < n; j++)
      if ((r = add_trained (o, qk_quantizer_info (qz)->name, qp[j].count,
                            qp[j].value, qp[j].grad, false))
          < 0)
        return r;
  }
  return 0;
}

int
qk_optimize_new (struct qk_graph *g, const struct qk_optimize_options *opt,
                 struct qk_optimize **out)
{
  struct qk_optimize *o = calloc (1, sizeof *o);
  int r;

  if (o == NULL)
    return qk_oom ("optimizer");
  o->g = g;
  o->optimizer = opt->optimizer;
  o->schedule = opt->schedule;
  o->lr = (float) qk_config_float (opt->optimizer_cfg, "lr");
  r = QK_CALLED (
    &o->optimizer->cls, "create",
    o->optimizer->create (opt->optimizer_cfg, &o->optimizer_self));
  if (r < 0)
    goto error;
  if ((r = QK_CALLED (
         &o->schedule->cls, "create",
         o->schedule->create (opt->schedule_cfg, &o->schedule_self)))
      < 0)
    goto error;
  o->n_slots = o->optimizer->slots (o->optimizer_self);
  if (o->n_slots < 0 || o->n_slots > QK_OPTIMIZER_MAX_SLOTS) {
    r = qk_error (-EINVAL, "optimizer '%s' wants %d slots, expected 0 to %d",
                  o->optimizer->cls.name, o->n_slots, QK_OPTIMIZER_MAX_SLOTS);
    o->n_slots = 0;
    goto error;
  }
  if ((r = collect (o, opt->decay_all)) < 0)
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
    for (j = 0; j < o->n_slots; j++)
      qk_free (o->trained[i].slot[j]);
  free (o->trained);
  if (o->optimizer_self != NULL)
    o->optimizer->destroy (o->optimizer_self);
  if (o->schedule_self != NULL)
    o->schedule->destroy (o->schedule_self);
  free (o);
}

float
qk_optimize_lr (const struct qk_optimize *o, int64_t total, int64_t per_epoch)
{
  const int64_t t = o->t < total ? o->t : total - 1;

  return (
    float) (o->lr
            * o->schedule->factor (o->schedule_self, t, total, per_epoch));
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
move (struct qk_optimize *o, const struct qk_optimizer_step *facts, int t,
      int n)
{
  struct qk_optimizer_step step = *facts;
  float *slot[QK_OPTIMIZER_MAX_SLOTS] = { NULL };
  int i, j;

  for (i = 0; i < o->n; i++) {
    const struct qk_trained *x = &o->trained[i];
    size_t from = 0, to = x->count;

    if (x->count >= SHARED_MIN) {
      from = part (x->count, t, n);
      to = part (x->count, t + 1, n);
    } else if (i % n != t)
      continue;
    for (j = 0; j < o->n_slots; j++)
      slot[j] = x->slot[j] + from;
    step.decay = x->decay;
    o->optimizer->step (o->optimizer_self, &step, x->value + from,
                        x->grad + from, slot, to - from);
    memset (x->grad + from, 0, (to - from) * sizeof (float));
  }
}

int
qk_optimize_step (struct qk_optimize *o, int64_t total, int64_t per_epoch)
{
  struct qk_quantizer_param qp[QK_FQ_MAX_PARAMS];
  struct qk_optimizer_step step;
  struct qk_quantizer *qz;
  int i, r, threads = 1;

  memset (&step, 0, sizeof step);
  step.t = o->t;
  step.lr = qk_optimize_lr (o, total, per_epoch);
#ifdef _OPENMP
  if (o->optimizer->elementwise)
    threads = omp_get_max_threads ();
#pragma omp parallel for num_threads(threads) schedule(static, 1)
#endif
  for (i = 0; i < threads; i++)
    move (o, &step, i, threads);
  for (i = 0; (qz = qk_graph_next_quantizer (o->g, &i)) != NULL;)
    if (qk_quantizer_params (qz, qp) > 0
        && (r = qk_quantizer_refresh (qz)) < 0)
      return r;
  o->t++;
  return 0;
}
