/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fill.c: what a model that comes from a file tells of it: numbers of
 * parameters, their grids, and sentences for the user. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph-priv.h"

/* Files of weights call P NAME, unless they call another one so. */
static int
set_alias (struct qk_graph *g, struct qk_param *p, const char *name)
{
  int i;

  if (name == NULL || *name == '\0')
    return 0;
  for (i = 0; i < g->n_params; i++)
    if (strcmp (qk_param_file_name (&g->param[i]), name) == 0)
      return 0;
  return (p->alias = strdup (name)) == NULL ? qk_oom ("graph") : 0;
}

/* Parameter NAME of the node that makes VALUE; NULL: the graph's error is
 * set. */
static struct qk_param *
param_of (struct qk_graph *g, int value, const char *name)
{
  const struct qk_node *n;
  int i;

  if (value < 0 || value >= g->n_values || g->value[value].producer < 0) {
    g->error
      = qk_error (-EINVAL, "graph: tensor %d is made by no node", value);
    return NULL;
  }
  n = &g->node[g->value[value].producer];
  for (i = 0; i < n->n_params; i++)
    if (strcmp (g->param[n->param[i]].spec.name, name) == 0)
      return &g->param[n->param[i]];
  g->error = qk_error (-EINVAL, "node '%s': no parameter '%s'", n->name, name);
  return NULL;
}

int
qk_graph_fill (struct qk_graph *g, int value, const char *param,
               const char *alias, const float *data)
{
  struct qk_param *p;
  int r;

  if (g->error < 0)
    return g->error;
  if ((p = param_of (g, value, param)) == NULL)
    return g->error;
  memcpy (p->value.data, data,
          sizeof *data * (size_t) qk_shape_count (&p->value.shape));
  g->filled = true;
  r = set_alias (g, p, alias);
  return r < 0 ? (g->error = r) : 0;
}

int
qk_graph_fill_grid (struct qk_graph *g, int value, const char *param,
                    int64_t n, const float *scale)
{
  struct qk_param *p;

  if (g->error < 0)
    return g->error;
  if ((p = param_of (g, value, param)) == NULL)
    return g->error;
  if (!(p->spec.flags & QK_PARAM_WEIGHT)
      || (n != 1 && n != p->value.shape.dims[0]))
    return g->error
           = qk_error (-EINVAL, "parameter '%s': no weight of %lld scales",
                       p->name, (long long) n);
  free (p->scale);
  if ((p->scale = malloc (sizeof *scale * (size_t) n)) == NULL)
    return g->error = qk_oom ("the grid of '%s'", p->name);
  memcpy (p->scale, scale, sizeof *scale * (size_t) n);
  p->n_scales = n;
  return 0;
}

void
qk_graph_warn (struct qk_graph *g, const char *fmt, ...)
{
  char **list
    = realloc (g->warning, sizeof *list * (size_t) (g->n_warnings + 1));
  char text[900];
  va_list args;

  if (list == NULL)
    return; /* no error for want of a warning */
  g->warning = list;
  va_start (args, fmt);
  vsnprintf (text, sizeof text, fmt, args);
  va_end (args);
  if ((list[g->n_warnings] = strdup (text)) != NULL)
    g->n_warnings++;
}

void
qk_graph_tell_warnings (const struct qk_graph *g)
{
  int i;

  for (i = 0; i < g->n_warnings; i++)
    qk_log (g->ctx, QK_LOG_WARNING, "%s", g->warning[i]);
}

bool
qk_graph_keeps_grids (const struct qk_graph *g)
{
  int i;

  for (i = 0; i < g->n_values; i++)
    if (g->value[i].given.q.scale > 0 && g->value[i].given.keeps)
      return true;
  for (i = 0; i < g->n_nodes; i++)
    if (g->node[i].traits.role == QK_ROLE_GRID && g->node[i].traits.keeps)
      return true;
  for (i = 0; i < g->n_params; i++)
    if (g->param[i].scale != NULL)
      return true;
  return false;
}
