/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* optimize.c: moves parameters along their gradients. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "passes/passes.h"
#include "quant/quantizer-priv.h"
#include "train/optimize.h"

static int
add_trained (struct qk_optimize *o, const char *name, size_t count,
             float *value, float *grad, bool decay)
{
  struct qk_trained *t;
  int i;

  t = realloc (o->trained, ((size_t) o->n + 1) * sizeof *t);
  if (t == NULL)
    return qk_error (-ENOMEM, "optimizer: out of memory");
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
      return qk_error (-ENOMEM, "optimizer: no memory for '%s'", name);
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
  for (i = 0; (qz = qk_graph_quantizer (g, i)) != NULL; i++) {
    n = qk_quantizer_params (qz, qp);
    for (j = 0; j < n; j++)
      if ((r = add_trained (o, qk_quantizer_info (qz)->name, qp[j].count,
                            qp[j].value, qp[j].grad, false)) < 0)
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
    return qk_error (-ENOMEM, "optimizer: out of memory");
  o->g = g;
  o->optimizer = opt->optimizer;
  o->schedule = opt->schedule;
  o->lr = (float) qk_config_float (opt->optimizer_cfg, "lr");
  r = o->optimizer->create (opt->optimizer_cfg, &o->optimizer_self);
  if (r < 0)
    goto error;
  if ((r = o->schedule->create (opt->schedule_cfg, &o->schedule_self)) < 0)
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

  return (float) (o->lr
                  * o->schedule->factor (o->schedule_self, t, total,
                                         per_epoch));
}

int
qk_optimize_step (struct qk_optimize *o, int64_t total, int64_t per_epoch)
{
  struct qk_quantizer_param qp[QK_FQ_MAX_PARAMS];
  struct qk_optimizer_step step;
  struct qk_quantizer *qz;
  int i, r;

  step.t = o->t;
  step.lr = qk_optimize_lr (o, total, per_epoch);
  for (i = 0; i < o->n; i++) {
    struct qk_trained *t = &o->trained[i];

    step.decay = t->decay;
    o->optimizer->step (o->optimizer_self, &step, t->value, t->grad, t->slot,
                        t->count);
    memset (t->grad, 0, t->count * sizeof (float));
  }
  for (i = 0; (qz = qk_graph_quantizer (o->g, i)) != NULL; i++)
    if (qk_quantizer_params (qz, qp) > 0
        && (r = qk_quantizer_refresh (qz)) < 0)
      return r;
  o->t++;
  return 0;
}
