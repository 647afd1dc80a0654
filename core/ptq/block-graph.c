/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* block-graph.c: the nodes of a block as a float graph of their own. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "graph/op-priv.h"
#include "ptq/block-priv.h"
#include "quant/quantizer-priv.h"

/* Whether node N gives its input unchanged in integer networks, as dropout. */
static int
is_identity (const struct qk_graph *g, const struct qk_node *n, bool *yes)
{
  struct qk_op op;
  int r;

  *yes = false;
  if (n->n_in != 1 || n->traits.role != QK_ROLE_SAME_GRID
      || !qk_shape_equal (&g->value[n->in[0]].shape, &g->value[n->out].shape))
    return 0;
  memset (&op, 0, sizeof op);
  if ((r = qk_graph_geometry (g, n, &op)) == 0)
    *yes = op.kind == QK_OP_RESHAPE;
  qk_op_free_arrays (&op);
  return r;
}

/* Constant V of the network, with the numbers that its grid has of it. */
static int
add_constant (const struct qk_graph *from, int v, struct qk_graph *g)
{
  struct qk_quantizer *qz = from->value[v].qz;
  const int64_t n = qk_shape_count (&from->value[v].shape);
  const int to = qk_graph_copy_source (from, v, g);
  float *x;
  int r;

  if (to < 0 || qz == NULL)
    return to;
  x = g->value[to].constant;
  r = qk_quantizer_forward_f32 (qz, x, (size_t) n, x);
  return r < 0 ? r : to;
}

/* The inputs of the block, and the constants that it takes. */
static int
add_sources (const struct qk_ptq_walk *w, struct qk_graph *g, int *map)
{
  const struct qk_graph *from = w->p->quantized;
  int i, j, v, r = 0;

  for (v = 0; v < from->n_values; v++)
    if (qk_walk_takes (w, v)) {
      if (g->n_inputs == QK_GRAPH_MAX_INPUTS)
        return qk_error (-ENOTSUP, "nodes %d to %d take more than %d values",
                         w->first, w->last - 1, QK_GRAPH_MAX_INPUTS);
      if ((r = qk_graph_add_value (g, &from->value[v].shape, -1)) < 0)
        return r;
      map[v] = r;
      if ((r = qk_graph_name_input (g, map[v], qk_value_name (from, v))) < 0)
        return r;
    }
  for (i = w->first; i < w->last; i++)
    for (j = 0; j < from->node[i].n_in; j++) {
      v = from->node[i].in[j];
      if (from->value[v].constant == NULL || map[v] >= 0)
        continue;
      if ((map[v] = add_constant (from, v, g)) < 0)
        return map[v];
      g->value[map[v]].given = (struct qk_given){ 0 };
    }
  return 0;
}

/* The grid, that of OWNER, to which node I of the network rounds what it gives;
 * NULL: none, as of those that choose among what lies on one. */
static const struct qk_qparams *
rounds_to (const struct qk_ptq_walk *w, int i, int *owner)
{
  const struct qk_qparams *q = qk_ptq_grid (w->p, i, owner);

  return *owner == i || w->p->quantized->node[i].traits.means ? q : NULL;
}

static int
add_node (const struct qk_ptq_walk *w, const struct qk_ptq_block_options *opt,
          int i, int *map, struct qk_graph *g)
{
  const struct qk_graph *from = w->p->quantized;
  const struct qk_node *n = &from->node[i];
  const struct qk_qparams *grid;
  bool identity;
  int owner, r;

  if (n->layer->backward == NULL)
    return qk_error (-ENOTSUP, "node '%s': layer '%s' has no backward",
                     n->name, n->layer_name);
  if ((r = is_identity (from, n, &identity)) < 0)
    return r;
  if (identity) {
    map[n->out] = map[n->in[0]];
    return 0;
  }
  if ((r = qk_graph_copy_value (from, n->out, map, g)) < 0)
    return r;
  g->value[map[n->out]].given = (struct qk_given){ 0 };
  if ((grid = rounds_to (w, i, &owner)) == NULL)
    return 0;
  if ((r = qk_ptq_tap (g, map[n->out], owner, grid, opt)) < 0)
    return r;
  map[n->out] = r;
  return 0;
}

static int
add_outputs (const struct qk_ptq_walk *w, const int *map, struct qk_graph *g)
{
  const struct qk_graph *from = w->p->quantized;
  int v, r = 0;

  for (v = 0; r == 0 && v < from->n_values; v++) {
    if (!qk_walk_gives (w, v))
      continue;
    if (g->n_outputs == QK_GRAPH_MAX_INPUTS)
      return qk_error (-ENOTSUP, "nodes %d to %d give more than %d values",
                       w->first, w->last - 1, QK_GRAPH_MAX_INPUTS);
    r = qk_graph_add_output (g, qk_value_name (from, v), map[v]);
  }
  return r;
}

/* Let each layer's parameters be the weight and bias it computes with. */
static int
fold (struct qk_graph *g)
{
  struct qk_tensor param[QK_LAYER_MAX_PARAMS];
  int i, j, r = 0;

  for (i = 0; r == 0 && i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];
    int64_t count = 0, channels = 0;
    float *w;

    if (n->traits.role != QK_ROLE_WEIGHTED || n->layer->get_weight == NULL)
      continue;
    for (j = 0; j < n->n_params; j++) {
      const struct qk_param *p = &g->param[n->param[j]];

      param[j] = p->value;
      if (p->spec.flags & QK_PARAM_WEIGHT) {
        count = qk_shape_count (&p->value.shape);
        channels = p->value.shape.dims[0];
      }
    }
    if (count == 0)
      continue;
    if ((w = qk_alloc ((size_t) (count + channels) * sizeof *w)) == NULL)
      return qk_oom ("node '%s'", n->name);
    r = n->layer->get_weight (n->self, param, w, w + count);
    if (r == 0)
      r = n->layer->set_weight (n->self, param, w, w + count);
    qk_free (w);
    if (r < 0)
      qk_error_prefix (r, "node '%s': ", n->name);
  }
  return r;
}

int
qk_ptq_block_graph (const struct qk_ptq_walk *w,
                    const struct qk_ptq_block_options *opt,
                    struct qk_graph **out)
{
  const struct qk_graph *from = w->p->quantized;
  struct qk_graph *g;
  int *map = malloc (((size_t) from->n_values + 1) * sizeof *map);
  int i, r;

  if (map == NULL)
    return qk_oom ("block");
  if ((r = qk_graph_new (from->ctx, from->seed, &g)) < 0) {
    free (map);
    return r;
  }
  for (i = 0; i < from->n_values; i++)
    map[i] = -1;
  r = add_sources (w, g, map);
  for (i = w->first; r == 0 && i < w->last; i++)
    r = add_node (w, opt, i, map, g);
  if (r == 0 && (r = add_outputs (w, map, g)) == 0
      && (r = qk_graph_copy_params (from, g)) == 0)
    r = fold (g);
  for (i = 0; i < g->n_params; i++)
    g->param[i].frozen
      = false; /* in training the network, which this is not */
  free (map);
  if (r < 0) {
    qk_graph_free (g);
    return r;
  }
  *out = g;
  return 0;
}
