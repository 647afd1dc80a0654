/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* averaged.c: the network in training with the averages of its weights. */
#include "config.h"

#include "run/averaged.h"

/* A copy of the network being trained, its quantizers included. */
static int
copy_network (struct qk_run *run, struct qk_graph **out)
{
  struct qk_graph *plain, *g = NULL;
  int r = qk_graph_copy (run->g, &plain);

  if (r < 0 || run->g->stage == QK_STAGE_FLOAT) {
    *out = plain;
    return r;
  }
  if ((r = qk_settings_prepare (run->s.settings, plain, false, &g)) == 0)
    r = qk_run_copy_state (run->g, g);
  qk_graph_free (plain);
  if (r < 0) {
    qk_graph_free (g);
    return r;
  }
  *out = g;
  return 0;
}

int
qk_run_averaged (struct qk_run *run, struct qk_graph **out)
{
  struct qk_graph *g;
  int r = copy_network (run, &g);

  if (r < 0)
    return r;
  if ((r = qk_ema_apply (run->o->ema, g)) < 0) {
    qk_graph_free (g);
    return r;
  }
  *out = g;
  return 0;
}
