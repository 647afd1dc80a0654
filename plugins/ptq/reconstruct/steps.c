/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* steps.c: the step sizes of a block's activations, which are trained. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "qdrop/qdrop.h"
#include "steps.h"

int
step_open (struct step *s, struct qk_ptq *p, struct qk_ptq_block *b, int node)
{
  int owner;

  memset (s, 0, sizeof *s);
  s->node = node;
  s->before = *qk_ptq_grid (p, node, &owner);
  return qk_ptq_block_step (b, node, &s->scale);
}

void
step_move (struct step *s, double rate)
{
  const double scale = (double) *s->scale.value;
  const double g = (double) *s->scale.gradient * scale; /* by log (scale) */
  double next;

  s->m1 = 0.9 * s->m1 + 0.1 * g;
  s->m2 = 0.999 * s->m2 + 0.001 * g * g;
  next = scale * exp (-rate * s->m1 / (sqrt (s->m2) + 1e-12));
  if (isfinite (next) && next > 1e-30)
    *s->scale.value = (float) next;
}

int
step_store (const struct step *s, struct qk_ptq *p, bool before)
{
  struct qk_qparams q = s->before;

  if (!before)
    q.scale = *s->scale.value;
  return qk_ptq_set_grid (p, s->node, &q);
}

/* ---- elements ---------------------------------------------------------------*/

static struct qk_qparams
grid_of (const struct qk_ptq_grid_call *call)
{
  struct qk_qparams q = *call->grid;

  q.scale = call->step;
  return q;
}

int
drop_forward (void *cookie, const struct qk_ptq_grid_call *call,
              struct qk_rng *rng, float *y)
{
  const struct drop *d = cookie;
  const struct qk_qparams q = grid_of (call);

  qdrop_forward (&q, d->of_256, call->x, call->n, rng, call->saved, y);
  return 0;
}

int
drop_backward (void *cookie, const struct qk_ptq_grid_call *call,
               const float *dy, float *dx, double *dstep)
{
  const struct qk_qparams q = grid_of (call);

  (void) cookie;
  *dstep = qdrop_backward (&q, call->x, call->saved, dy, call->n, dx);
  return 0;
}
