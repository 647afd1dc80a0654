/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* split.c: values that products take and other nodes as well become two, so that
 * each can have its own grid: coarse for products, fine for the sum that goes
 * round them. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "passes/passes.h"

bool
qk_feeds_products (const struct qk_graph *g, int node, int but,
                   const bool *inner)
{
  const struct qk_node *n = &g->node[node];

  return n->traits.macs > 0 ? node != but
                            : qk_node_keeps_grid (n) && inner[n->out];
}

int
qk_last_weighted (const struct qk_graph *g)
{
  int i = g->n_nodes - 1;

  while (i >= 0 && g->node[i].traits.role != QK_ROLE_WEIGHTED)
    i--;
  return i;
}

/* The values to be split; which of the others feed products alone to INNER. */
static int
find (const struct qk_graph *g, int last, bool *inner, bool *split)
{
  int *coarse = calloc ((size_t) g->n_values + 1, sizeof *coarse), i, j;

  if (coarse == NULL)
    return qk_oom ("split");
  for (i = g->n_nodes - 1; i >= 0; i--) {
    const struct qk_node *n = &g->node[i];

    inner[n->out]
      = coarse[n->out] > 0 && coarse[n->out] == g->value[n->out].n_consumers;
    split[n->out] = coarse[n->out] > 0 && !inner[n->out];
    for (j = 0; j < n->n_in; j++)
      coarse[n->in[j]] += qk_feeds_products (g, i, last, inner);
  }
  free (coarse);
  return 0;
}

/* Put a node behind value V of G that gives it again. */
static int
repeat (struct qk_graph *g, int v)
{
  char *name;
  int r;

  if (asprintf (&name, "%s.requantize", g->node[g->value[v].producer].name)
      < 0)
    return qk_oom ("split");
  r = qk_graph_node_text (g, name, "affine", "", &v, 1);
  free (name);
  return r;
}

/* Copy what makes value V, reading the copies AGAIN where it feeds products. */
static int
copy (const struct qk_graph *g, int v, int last, const bool *inner, int *map,
      const int *again, struct qk_graph *out)
{
  const int producer = g->value[v].producer;
  const struct qk_node *n = producer < 0 ? NULL : &g->node[producer];
  int before[QK_OP_MAX_INPUTS], i, r;

  if (n == NULL || !qk_feeds_products (g, producer, last, inner))
    return qk_graph_copy_value (g, v, map, out);
  for (i = 0; i < n->n_in; i++)
    before[i] = map[n->in[i]];
  for (i = 0; i < n->n_in; i++)
    if (again[n->in[i]] > 0)
      map[n->in[i]] = again[n->in[i]];
  r = qk_graph_copy_value (g, v, map, out);
  for (i = 0; i < n->n_in; i++)
    map[n->in[i]] = before[i];
  return r;
}

int
qk_pass_split (const struct qk_graph *g, struct qk_graph **out)
{
  const size_t n = (size_t) g->n_values + 1;
  const int last = qk_last_weighted (g);
  bool *inner = calloc (n, sizeof *inner), *split = calloc (n, sizeof *split);
  int *again = calloc (n, sizeof *again), *map = NULL;
  int v, r;

  *out = NULL;
  if (inner == NULL || split == NULL || again == NULL) {
    r = qk_oom ("split");
  } else if ((r = find (g, last, inner, split)) == 0) {
    r = qk_graph_copy_begin (g, out, &map);
    for (v = 0; r == 0 && v < g->n_values; v++) {
      r = copy (g, v, last, inner, map, again, *out);
      if (r == 0 && split[v])
        again[v] = r = repeat (*out, map[v]);
      r = r > 0 ? 0 : r;
    }
    r = qk_graph_copy_end (g, map, r, out);
  }
  free (inner);
  free (split);
  free (again);
  return r;
}
