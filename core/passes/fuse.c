/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuse.c: layers with weights take over the batch-norm and the clamp behind
 * them; grids that a network came with become those of values. */
#include "config.h"

#include <stdlib.h>

#include "passes/passes.h"

/* Whether value V has one reader, and what it is merged with as well. */
static bool
is_read_once (const struct qk_graph *g, const struct qk_grids *grids, int v)
{
  int p = g->value[v].producer;

  for (; g->value[v].n_consumers == 1 && p >= 0 && grids->merged[p];
       p = g->value[v].producer)
    v = g->node[p].in[0];
  return g->value[v].n_consumers == 1;
}

/* Whether N may disappear into the node that makes its input: it is the only
 * one that reads it, and nobody outside does. */
static bool
can_disappear (const struct qk_graph *g, const struct qk_grids *grids,
               const struct qk_node *n)
{
  return n->n_in == 1 && n->n_absorbed == 0
         && (n->traits.role == QK_ROLE_BATCHNORM
             || n->traits.role == QK_ROLE_CLAMP)
         && is_read_once (g, grids, n->in[0]);
}

/* Let the producer of N's input in OUT take N over; -ENOTSUP if it cannot.
 * Behind a grid a clamp is one on that grid as well, a batch-norm is not. */
static int
take_over (const struct qk_node *n, int *map, struct qk_graph *out)
{
  const int in = map[n->in[0]];
  int r;

  if (out->value[in].producer < 0
      || (out->value[in].given.q.scale > 0
          && n->traits.role == QK_ROLE_BATCHNORM))
    return -ENOTSUP;
  r = qk_graph_absorb (out, out->value[in].producer, n->name, n->layer_name,
                       n->options);
  if (r == 0)
    map[n->out] = in;
  return r;
}

int
qk_pass_fuse (const struct qk_graph *g, struct qk_graph **out)
{
  struct qk_grids grids;
  int *map, i, r;

  if (g->stage != QK_STAGE_FLOAT)
    return qk_error (-EINVAL, "fuse: expected a float graph");
  if ((r = qk_grids_find (g, &grids)) < 0)
    return r;
  r = qk_graph_copy_begin (g, out, &map);
  for (i = 0; r == 0 && i < g->n_values; i++) {
    const int producer = g->value[i].producer;
    const struct qk_node *n = producer < 0 ? NULL : &g->node[producer];

    if (n != NULL && grids.merged[producer]) {
      map[i] = map[n->in[0]];
      continue;
    }
    r = n != NULL && can_disappear (g, &grids, n) ? take_over (n, map, *out)
                                                  : -ENOTSUP;
    if (r == -ENOTSUP)
      r = qk_graph_copy_value (g, i, map, *out);
    if (r == 0 && grids.given[i].q.scale > 0)
      (*out)->value[map[i]].given = grids.given[i];
  }
  qk_grids_clear (&grids);
  if ((r = qk_graph_copy_end (g, map, r, out)) == 0
      && (r = qk_grids_put (*out)) < 0) {
    qk_graph_free (*out);
    *out = NULL;
  }
  return r;
}
