/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuse.c: layers with weights take over the batch-norm and the clamp behind
 * them. */
#include "config.h"

#include "passes/passes.h"

/* Whether N may disappear into the node that makes its input: it is the only
 * one that reads it, and nobody outside does. */
static bool
can_disappear (const struct qk_graph *g, const struct qk_node *n)
{
  const struct qk_value *in = &g->value[n->in[0]];

  return n->n_in == 1 && n->n_absorbed == 0 && in->n_consumers == 1
         && in->producer >= 0
         && (n->traits.role == QK_ROLE_BATCHNORM
             || n->traits.role == QK_ROLE_CLAMP);
}

/* Let the producer of N's input in OUT take N over; -ENOTSUP if it cannot. */
static int
take_over (const struct qk_node *n, int *map, struct qk_graph *out)
{
  const int in = map[n->in[0]];
  const int r = qk_graph_absorb (out, out->value[in].producer, n->name,
                                 n->layer_name, n->options);

  if (r == 0)
    map[n->out] = in;
  return r;
}

int
qk_pass_fuse (const struct qk_graph *g, struct qk_graph **out)
{
  int *map, i, r;

  if (g->stage != QK_STAGE_FLOAT)
    return qk_error (-EINVAL, "fuse: expected a float graph");
  r = qk_graph_copy_begin (g, out, &map);
  for (i = 0; r == 0 && i < g->n_values; i++) {
    const int producer = g->value[i].producer;
    const struct qk_node *n = producer < 0 ? NULL : &g->node[producer];

    r = n != NULL && can_disappear (g, n) ? take_over (n, map, *out)
                                          : -ENOTSUP;
    if (r == -ENOTSUP)
      r = qk_graph_copy_value (g, i, map, *out);
  }
  return qk_graph_copy_end (g, map, r, out);
}
