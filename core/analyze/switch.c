/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* switch.c: quantizers of a prepared graph on and off, one by one,
 * without preparing or calibrating again. */
#include "config.h"

#include <stdlib.h>

#include "analyze/priv.h"

int
qk_switch_init (struct qk_switch *s, struct qk_graph *g)
{
  int i;

  s->g = g;
  s->value = calloc ((size_t) g->n_values + 1, sizeof *s->value);
  s->weight = calloc ((size_t) g->n_nodes + 1, sizeof *s->weight);
  s->on_grid = calloc ((size_t) g->n_values + 1, sizeof *s->on_grid);
  if (s->value == NULL || s->weight == NULL || s->on_grid == NULL) {
    s->g = NULL;
    qk_switch_clear (s);
    return qk_oom ("analyze");
  }
  for (i = 0; i < g->n_values; i++) {
    s->value[i] = g->value[i].qz;
    s->on_grid[i] = g->value[i].on_grid;
  }
  for (i = 0; i < g->n_nodes; i++)
    s->weight[i] = g->node[i].weight_qz;
  return 0;
}

void
qk_switch_clear (struct qk_switch *s)
{
  struct qk_graph *g = s->g;
  int i;

  for (i = 0; g != NULL && i < g->n_values; i++) {
    g->value[i].qz = s->value[i];
    g->value[i].on_grid = s->on_grid[i];
  }
  for (i = 0; g != NULL && i < g->n_nodes; i++)
    g->node[i].weight_qz = s->weight[i];
  free (s->value);
  free (s->weight);
  free (s->on_grid);
  s->g = NULL;
  s->value = s->weight = NULL;
  s->on_grid = NULL;
}

static bool
wanted (int value, int chosen, bool all_but)
{
  return chosen == QK_SWITCH_ALL || (value == chosen) != all_but;
}

void
qk_switch_set (struct qk_switch *s, unsigned parts, int value, bool all_but)
{
  struct qk_graph *g = s->g;
  int i;

  for (i = 0; i < g->n_values; i++) {
    struct qk_value *v = &g->value[i];
    struct qk_node *n = v->producer < 0 ? NULL : &g->node[v->producer];
    const bool on = wanted (i, value, all_but);

    if (n != NULL)
      n->weight_qz
        = on && (parts & QK_SWITCH_WEIGHTS) ? s->weight[v->producer] : NULL;
    v->qz = on && (parts & QK_SWITCH_VALUES) ? s->value[i] : NULL;
    /* without a quantizer of its own it lies on its input's grid, if any */
    if (n != NULL && s->value[i] == NULL)
      v->on_grid = s->on_grid[i] && g->value[n->in[0]].on_grid;
    else
      v->on_grid = v->qz != NULL;
  }
}
