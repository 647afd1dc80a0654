/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rank.c: each layer quantized alone, all but each; the order of the
 * layers. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include "analyze/priv.h"

#define BOTH (QK_SWITCH_VALUES | QK_SWITCH_WEIGHTS)

static int
one_layer (struct qk_analyzer *z, struct qk_analyze_layer *l)
{
  int r;

  qk_switch_set (&z->sw, BOTH, l->value, false);
  if ((r = qk_analyze_point (z, z->g, &l->alone)) < 0)
    return r;
  qk_switch_set (&z->sw, BOTH, l->value, true);
  return qk_analyze_point (z, z->g, &l->rest);
}

/* Noise by signal, from decibels. */
static double
noise_of (const struct qk_analyze_point *p)
{
  return isfinite (p->sqnr) ? pow (10, -p->sqnr / 10) : 0;
}

static int
worst_first (const void *a, const void *b)
{
  const struct qk_analyze_layer *x = a, *y = b;

  if (x->share < y->share || x->share > y->share)
    return x->share < y->share ? 1 : -1;
  return x->value - y->value;
}

int
qk_analyze_sensitivity (struct qk_analyzer *z)
{
  struct qk_analysis *a = z->a;
  double sum = 0;
  int i, r = 0;

  qk_progress_begin (z->opt->m->progress, "sensitivity",
                     2 * a->n * z->subset.n);
  for (i = 0; r == 0 && i < a->n; i++) {
    if ((r = one_layer (z, &a->layer[i])) < 0)
      break;
    sum += noise_of (&a->layer[i].alone);
    qk_progress_update (z->opt->m->progress, 2 * (i + 1) * z->subset.n, NAN);
  }
  qk_progress_end (z->opt->m->progress);
  qk_switch_set (&z->sw, BOTH, QK_SWITCH_ALL, false);
  if (r < 0)
    return r;
  for (i = 0; i < a->n; i++)
    a->layer[i].share = sum > 0 ? noise_of (&a->layer[i].alone) / sum : 0;
  qsort (a->layer, (size_t) a->n, sizeof *a->layer, worst_first);
  return 0;
}
