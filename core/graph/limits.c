/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* limits.c: what a network may cost that somebody unknown wrote. */
#include "config.h"

#include <stdint.h>
#include <unistd.h>

#include "graph/limits.h"
#include "graph/op-priv.h"

int
qk_limit_value (struct qk_graph *g, const char *name,
                const struct qk_shape *shape)
{
  const int64_t count = qk_shape_count (shape);

  if (g->max_params == 0)
    return 0;
  if (count < 0 || count > QK_LIMIT_VALUE
      || (g->elements += count) > QK_LIMIT_VALUES)
    return qk_error (-EBADMSG,
                     "graph: node '%s' makes %lld elements, more "
                     "than this program takes from a file",
                     name, (long long) count);
  return 0;
}

int
qk_limit_work (const struct qk_graph *g)
{
  int64_t total = 0;
  int i, r;

  for (i = 0; g->max_params > 0 && i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];
    const struct qk_shape *in = &g->value[n->in[0]].shape;
    const struct qk_shape *out = &g->value[n->out].shape;
    int64_t work = n->traits.macs;

    if (n->lowered)
      work = qk_op_work (&n->op, in, out);
    else if (work == 0) {
      struct qk_op op;

      qk_op_init (&op);
      r = qk_graph_geometry (g, n, &op);
      work = r == 0 && op.kind != 0 ? qk_op_work (&op, in, out) : 0;
      qk_op_free_arrays (&op);
      if (r < 0)
        return r;
    }
    /* both terms are below 2^62: see qk_limit_value, and qk_graph.max_params
     * for the weights */
    if (work > QK_LIMIT_WORK || (total += work) > QK_LIMIT_WORK)
      return qk_error (-EBADMSG,
                       "graph: with node '%s' a sample takes %.3g "
                       "operations, more than the %.3g this program does for "
                       "a file",
                       n->name, (double) total + (double) work,
                       (double) QK_LIMIT_WORK);
  }
  return 0;
}

size_t
qk_limit_memory (const struct qk_graph *g)
{
  const long pages = sysconf (_SC_PHYS_PAGES), page = sysconf (_SC_PAGESIZE);

  /* a third, as verify runs two networks side by side; what is too much for
   * everybody, qk_alloc refuses */
  if (g->max_params == 0 || pages <= 0 || page <= 0)
    return SIZE_MAX;
  return (size_t) pages / 3 * (size_t) page;
}
