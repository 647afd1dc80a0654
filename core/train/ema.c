/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ema.c: an exponential moving average of a network in training. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/cpu.h>

#include "passes/passes.h"
#include "quant/quantizer-priv.h"
#include "train/ema.h"

/* Called for each array of a graph that an average has. */
typedef int (*visit_fn) (void *cookie, const char *name, size_t count,
                         float *value);

static int
visit (struct qk_graph *g, visit_fn fn, void *cookie)
{
  struct qk_quantizer_param qp[QK_FQ_MAX_PARAMS];
  struct qk_quantizer *qz;
  int i, j, n, r = 0;

  for (i = 0; r == 0 && i < g->n_params; i++)
    if (!g->param[i].frozen)
      r = fn (cookie, g->param[i].name,
              (size_t) qk_shape_count (&g->param[i].value.shape),
              g->param[i].value.data);
  for (i = 0; r == 0 && (qz = qk_graph_next_quantizer (g, &i)) != NULL;) {
    n = qk_quantizer_params (qz, qp);
    for (j = 0; r == 0 && j < n; j++)
      r = fn (cookie, qk_quantizer_info (qz)->name, qp[j].count, qp[j].value);
  }
  return r;
}

static int
add_array (void *cookie, const char *name, size_t count, float *value)
{
  struct qk_ema *e = cookie;
  struct qk_ema_array *a = realloc (e->array, ((size_t) e->n + 1) * sizeof *a);

  if (a == NULL)
    return qk_oom ("averaged weights");
  e->array = a;
  a = &a[e->n];
  a->name = name;
  a->count = count;
  a->value = value;
  if ((a->mean = qk_alloc (count * sizeof *a->mean)) == NULL)
    return qk_oom ("average of '%s'", name);
  memcpy (a->mean, value, count * sizeof *a->mean);
  e->n++;
  return 0;
}

int
qk_ema_new (struct qk_graph *g, double decay, struct qk_ema **out)
{
  struct qk_ema *e = calloc (1, sizeof *e);
  int r;

  if (e == NULL)
    return qk_oom ("averaged weights");
  e->decay = decay;
  for (int i = 0; i < g->n_params; i++)
    e->params += !g->param[i].frozen;
  if ((r = visit (g, add_array, e)) < 0) {
    qk_ema_free (e);
    return r;
  }
  *out = e;
  return 0;
}

void
qk_ema_free (struct qk_ema *e)
{
  int i;

  if (e == NULL)
    return;
  for (i = 0; i < e->n; i++)
    qk_free (e->array[i].mean);
  free (e->array);
  free (e);
}

QK_LOOP (static, average,
         (float *restrict mean, const float *restrict value, size_t n,
          float take),
         (mean, value, n, take))
{
  for (size_t i = 0; i < n; i++)
    mean[i] = fmaf (take, value[i] - mean[i], mean[i]);
}

static void
restart (struct qk_ema *e, int from)
{
  for (int i = from; i < e->n; i++)
    memcpy (e->array[i].mean, e->array[i].value,
            e->array[i].count * sizeof *e->array[i].mean);
}

void
qk_ema_update (struct qk_ema *e, bool first, int threads)
{
  const float take = (float) (1.0 - e->decay);
  int i;

  if (first)
    restart (e, e->params);

  (void) threads; /* without OpenMP there is one */
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (i = 0; i < e->n; i++)
    average (e->array[i].mean, e->array[i].value, e->array[i].count, take);
}

void
qk_ema_restart (struct qk_ema *e)
{
  restart (e, 0);
}

/* Where qk_ema_apply has come to. */
struct applied {
  const struct qk_ema *e;
  int i;
};

static int
put_array (void *cookie, const char *name, size_t count, float *value)
{
  struct applied *a = cookie;
  const struct qk_ema_array *from = &a->e->array[a->i];

  if (a->i == a->e->n || strcmp (from->name, name) != 0
      || from->count != count)
    return qk_error (-EINVAL, "averaged weights: '%s' has no average", name);
  memcpy (value, from->mean, count * sizeof *value);
  a->i++;
  return 0;
}

int
qk_ema_apply (const struct qk_ema *e, struct qk_graph *to)
{
  struct qk_quantizer_param qp[QK_FQ_MAX_PARAMS];
  struct applied a = { e, 0 };
  struct qk_quantizer *qz;
  int i, r = visit (to, put_array, &a);

  for (i = 0; r == 0 && (qz = qk_graph_next_quantizer (to, &i)) != NULL;)
    if (qk_quantizer_params (qz, qp) > 0)
      r = qk_quantizer_refresh (qz);
  return r;
}
