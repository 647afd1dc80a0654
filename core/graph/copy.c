/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* copy.c: copies of graphs, whole or with nodes left out or put in the place of
 * others. */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph-priv.h"

int
qk_graph_copy_begin (const struct qk_graph *from, struct qk_graph **out,
                     int **map)
{
  struct qk_graph *g = NULL;
  int r;

  *out = NULL;
  if ((*map = calloc ((size_t) from->n_values + 1, sizeof **map)) == NULL)
    return qk_oom ("graph");
  if ((r = qk_graph_new (from->ctx, from->seed, &g)) < 0)
    return r;
  *out = g;
  g->max_params = from->max_params;
  g->filled = from->filled;
  return 0;
}

static int
copy_node (const struct qk_node *n, struct qk_given given, int *map,
           struct qk_graph *g)
{
  int in[QK_OP_MAX_INPUTS], i, r;

  for (i = 0; i < n->n_in; i++)
    in[i] = map[n->in[i]];
  r = qk_graph_node_text (g, n->name, n->layer_name, n->options, in, n->n_in);
  if (r < 0)
    return r;
  map[n->out] = r;
  g->value[r].given = given;
  for (i = 0; i < n->n_absorbed; i++) {
    const struct qk_absorbed *a = &n->absorbed[i];

    r = qk_graph_absorb (g, g->n_nodes - 1, a->name, a->layer, a->options);
    if (r < 0)
      return r;
  }
  return 0;
}

int
qk_graph_copy_source (const struct qk_graph *from, int value,
                      struct qk_graph *g)
{
  const struct qk_value *v = &from->value[value];
  const int to = qk_graph_add_value (g, &v->shape, -1);
  size_t bytes;
  void *data;
  int r;

  if (to < 0)
    return to;
  g->value[to].given = v->given;
  if (v->constant == NULL) {
    r = qk_graph_name_input (g, to, v->name);
    return r < 0 ? r : to;
  }
  bytes = (size_t) qk_shape_count (&v->shape)
          * qk_dtype_size (from->stage == QK_STAGE_INT8
                             ? qk_value_dtype (from, value)
                             : QK_F32);
  if ((data = qk_alloc (bytes)) == NULL)
    return qk_oom ("constant '%s'", v->name);
  memcpy (data, v->constant, bytes);
  r = qk_graph_name_constant (g, to, v->name, data);
  return r < 0 ? r : to;
}

int
qk_graph_copy_value (const struct qk_graph *from, int value, int *map,
                     struct qk_graph *g)
{
  const int producer = from->value[value].producer;

  if (producer >= 0)
    return copy_node (&from->node[producer], from->value[value].given, map, g);
  map[value] = qk_graph_copy_source (from, value, g);
  return map[value] < 0 ? map[value] : 0;
}

int
qk_graph_copy_outputs (const struct qk_graph *from, const int *map,
                       struct qk_graph *g)
{
  int i, r;

  for (i = 0; i < from->n_outputs; i++) {
    const struct qk_output *o = &from->output[i];

    if ((r = qk_graph_add_output (g, o->name, map[o->value])) < 0)
      return r;
    g->output[g->n_outputs - 1].batch_axis = o->batch_axis;
  }
  return 0;
}

static int
copy_scales (const struct qk_param *from, struct qk_param *to)
{
  const size_t bytes = sizeof *from->scale * (size_t) from->n_scales;

  if ((to->scale = malloc (bytes)) == NULL)
    return qk_oom ("the grid of '%s'", from->name);
  memcpy (to->scale, from->scale, bytes);
  to->n_scales = from->n_scales;
  return 0;
}

static int
copy_param (const struct qk_param *from, struct qk_param *to)
{
  if (from->alias != NULL && (to->alias = strdup (from->alias)) == NULL)
    return qk_oom ("graph");
  to->anew = from->anew;
  to->frozen = from->frozen;
  memcpy (to->value.data, from->value.data,
          sizeof (float) * (size_t) qk_shape_count (&from->value.shape));
  return from->scale != NULL ? copy_scales (from, to) : 0;
}

int
qk_graph_copy_params (const struct qk_graph *from, struct qk_graph *g)
{
  int i, r = 0;

  for (i = 0; r == 0 && i < g->n_params; i++) {
    const struct qk_param *p = qk_graph_find_param (from, g->param[i].name);

    if (p != NULL)
      r = copy_param (p, &g->param[i]);
  }
  return r;
}

int
qk_graph_copy_end (const struct qk_graph *from, int *map, int err,
                   struct qk_graph **out)
{
  if (err == 0)
    err = qk_graph_copy_outputs (from, map, *out);
  if (err == 0)
    err = qk_graph_copy_params (from, *out);
  if (err < 0) {
    qk_graph_free (*out);
    *out = NULL;
  }
  free (map);
  return err;
}

int
qk_graph_copy (const struct qk_graph *from, struct qk_graph **out)
{
  int *map, i, r;

  r = qk_graph_copy_begin (from, out, &map);
  for (i = 0; r == 0 && i < from->n_values; i++)
    r = qk_graph_copy_value (from, i, map, *out);
  return qk_graph_copy_end (from, map, r, out);
}

int
qk_graph_replace_clamp (const struct qk_graph *g, int node, const char *layer,
                        const char *options, struct qk_graph **out)
{
  struct qk_node *n = &g->node[node];
  struct qk_absorbed *a, old;
  int r;

  if (n->n_absorbed == 0 || (isinf (n->lo) && isinf (n->hi)))
    return qk_error (-EINVAL, "node '%s' has taken over no clamp", n->name);
  /* it is the last that can be taken over; G itself stays as it is */
  a = &n->absorbed[n->n_absorbed - 1];
  old = *a;
  a->layer = (char *) layer;
  a->options = (char *) options;
  r = qk_graph_copy (g, out);
  *a = old;
  return r;
}
