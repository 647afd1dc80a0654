/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reduce.c: sums, means and extremes along axes. */
#include "config.h"

#include <string.h>

#include "lay.h"

/* V without our axes in GONE; the file's become empty or go too. */
static void
without (struct view *v, const bool *gone_ours, const bool *gone, bool keep)
{
  struct view out = { v->id, 0, { { 0 } } };
  int number[QK_MAX_DIMS], i, k, at = 0;

  for (i = 0; i < QK_MAX_DIMS; i++)
    number[i] = gone_ours[i] ? -1 : at++;
  for (i = 0; i < v->ndim; i++) {
    struct group g = { 0, { 0 } };

    if (gone[i] && !keep)
      continue;
    for (k = 0; !gone[i] && k < v->axis[i].n; k++)
      g.of[g.n++] = number[v->axis[i].of[k]];
    out.axis[out.ndim++] = g;
  }
  *v = out;
}

/* What a reduction is made of: a function of each element before, the
 * reduction, and one behind. */
static const struct reduction {
  const char *name, *before, *op, *behind;
} reductions[] = {
  { "ReduceMean", NULL, "mean", NULL },
  { "ReduceSum", NULL, "sum", NULL },
  { "ReduceMax", NULL, "max", NULL },
  { "ReduceMin", NULL, "min", NULL },
  { "ReduceL1", "abs", "sum", NULL },
  { "ReduceL2", "square", "sum", "sqrt" },
  { "ReduceSumSquare", "square", "sum", NULL },
  { "ReduceLogSum", NULL, "sum", "log" },
  { "ReduceLogSumExp", "exp", "sum", "log" },
};

/* The file's axes that ND reduces. */
static int
reduced_axes (struct lay *l, struct net_node *nd, const struct view *v,
              bool *gone, bool *none)
{
  const bool noop = net_attr_int (nd, "noop_with_empty_axes", 0) != 0;
  int64_t axes[QK_MAX_DIMS];
  const int n = lay_axes (l, nd, axes);
  int i, k;

  if (n < -1)
    return n;
  *none = n <= 0 && noop;
  for (i = 0; i < (n <= 0 ? v->ndim : n); i++) {
    if ((k = n <= 0 ? i : net_axis (axes[i], v->ndim)) < 0)
      return net_error (l->n, nd, -EBADMSG, "axis %lld of %d",
                        (long long) axes[i], v->ndim);
    gone[k] = true;
  }
  return 0;
}

/* LAYER of the value ID; itself where LAYER is NULL. */
static int
each (struct lay *l, struct net_node *nd, const char *layer, int id)
{
  return layer == NULL || id < 0 ? id
                                 : lay_node (l, nd, layer, &id, 1, "%s", "");
}

/* Reduce our axes in GONE of the value ID. */
static int
reduce_ours (struct lay *l, struct net_node *nd, int id, const char *op,
             const bool *gone)
{
  const int ndim = qk_graph_shape (l->g, id)->ndim;
  int64_t list[QK_MAX_DIMS];
  char text[LAY_LIST];
  int i, count = 0;

  for (i = 1; i < ndim; i++)
    if (gone[i])
      list[count++] = i;
  if (count == 0)
    return id;
  if (strcmp (op, "mean") == 0 && ndim == 4 && count == 2 && list[0] == 1
      && list[1] == 2 && lay_changes_grid (l, nd)) {
    id = lay_average_by_weights (l, nd, id);
    return id < 0
             ? id
             : lay_helper (l, nd, "reshape", id, "shape=%lld",
                           (long long) qk_graph_shape (l->g, id)->dims[3]);
  }
  if (strcmp (op, "mean") == 0 && ndim == 4 && count == 2 && list[0] == 1
      && list[1] == 2)
    return lay_node (l, nd, "global_avgpool", &id, 1, "%s", "");
  return lay_node (l, nd, "reduce", &id, 1, "op=%s axes=%s keep=no", op,
                   lay_list (list, count, text));
}

int
lay_reduce (struct lay *l, struct net_node *nd)
{
  const bool keep = net_attr_int (nd, "keepdims", 1) != 0;
  bool gone[QK_MAX_DIMS] = { false }, gone_ours[QK_MAX_DIMS] = { false };
  const struct reduction *how = reductions;
  struct view v;
  bool none;
  int i, k, id, r;

  if ((r = lay_input (l, nd, 0, &v)) < 0
      || (r = reduced_axes (l, nd, &v, gone, &none)) < 0)
    return r;
  while (strcmp (how->name, nd->op) != 0)
    how++;
  for (i = 0; i < v.ndim; i++)
    for (k = 0; gone[i] && !none && k < v.axis[i].n; k++) {
      if (v.axis[i].of[k] == 0)
        return net_error (l->n, nd, -ENOTSUP, "reduces over the batch");
      gone_ours[v.axis[i].of[k]] = true;
    }
  if ((id = each (l, nd, how->before, v.id)) >= 0
      && (id = reduce_ours (l, nd, id, how->op, gone_ours)) >= 0)
    id = each (l, nd, how->behind, id);
  if (id < 0)
    return id;
  if (!none)
    without (&v, gone_ours, gone, keep);
  v.id = id;
  lay_output (l, nd, 0, &v);
  return 0;
}
