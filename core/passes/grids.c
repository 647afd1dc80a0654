/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grids.c: the grids that a network came with, from nodes that put a value on
 * one to the values themselves. */
#include "config.h"

#include <stdlib.h>

#include "base/names.h"
#include "passes/passes.h"
#include "quant/quantizer-priv.h"

static bool
same_grid (const struct qk_qparams *a, const struct qk_qparams *b)
{
  return a->scale == b->scale && a->zero_point == b->zero_point
         && a->qmin == b->qmin && a->qmax == b->qmax;
}

/* Whether N only chooses among the elements of its input, or limits them:
 * rounding before it or after it is the same, as both keep the order. */
static bool
chooses (const struct qk_node *n)
{
  return n->n_in == 1
         && (n->traits.role == QK_ROLE_CLAMP
             || (n->traits.role == QK_ROLE_SAME_GRID && !n->traits.means));
}

/* Whether all who read value V put it on the same grid as N does. */
static bool
readers_agree (const struct qk_graph *g, int v, const struct qk_node *n)
{
  int i, same = 0;

  for (i = 0; i < g->n_nodes; i++)
    same += g->node[i].traits.role == QK_ROLE_GRID && g->node[i].in[0] == v
            && same_grid (&g->node[i].traits.grid, &n->traits.grid);
  return same == g->value[v].n_consumers;
}

/* The value whose computing may end with the grid of N, which then has nothing
 * to do: N's input, or one before it with nodes between that choose.  -1 where
 * somebody reads it without the grid. */
static int
value_for (const struct qk_graph *g, const struct qk_grids *grids,
           const struct qk_node *n)
{
  int v = n->in[0];

  if (!readers_agree (g, v, n))
    return -1;
  for (;;) {
    const struct qk_node *p
      = g->value[v].producer < 0 ? NULL : &g->node[g->value[v].producer];

    if (p == NULL || !(chooses (p) || p->traits.means))
      return v;
    if (p->traits.means || grids->given[p->in[0]].q.scale > 0
        || g->value[p->in[0]].n_consumers != 1)
      return -1;
    v = p->in[0];
  }
}

/* Whether what N gives is put on the grid that its input has. */
static bool
is_rounded (const struct qk_graph *g, const struct qk_grids *grids,
            const struct qk_node *n)
{
  struct qk_node wanted = *n;

  wanted.traits.grid = grids->given[n->in[0]].q;
  return readers_agree (g, n->out, &wanted);
}

/* Where the grid of node I goes. */
static void
place (const struct qk_graph *g, int i, struct qk_grids *grids)
{
  const struct qk_node *n = &g->node[i];
  const struct qk_given own = { n->traits.grid, n->traits.keeps };
  const struct qk_given *there = &grids->given[n->in[0]];
  int v, k;

  grids->given[n->out] = own;
  if (there->q.scale > 0)
    grids->merged[i] = same_grid (&there->q, &own.q);
  else if ((v = value_for (g, grids, n)) >= 0) {
    grids->given[v] = own;
    grids->merged[i] = true;
    for (; v != n->in[0]; v = g->node[k].out) { /* its only reader */
      for (k = 0; g->node[k].in[0] != v; k++)
        ;
      grids->given[g->node[k].out] = own;
    }
  }
}

int
qk_grids_find (const struct qk_graph *g, struct qk_grids *out)
{
  int i;

  out->given = calloc ((size_t) g->n_values + 1, sizeof *out->given);
  out->merged = calloc ((size_t) g->n_nodes + 1, sizeof *out->merged);
  if (out->given == NULL || out->merged == NULL) {
    qk_grids_clear (out);
    return qk_oom ("grids");
  }
  for (i = 0; i < g->n_values; i++)
    out->given[i] = g->value[i].given;
  for (i = 0; i < g->n_nodes; i++) {
    const struct qk_node *n = &g->node[i];

    if (n->traits.role == QK_ROLE_GRID)
      place (g, i, out);
    else if (qk_node_keeps_grid (n)
             && (!n->traits.means || is_rounded (g, out, n)))
      out->given[n->out] = out->given[n->in[0]];
  }
  return 0;
}

void
qk_grids_clear (struct qk_grids *grids)
{
  free (grids->given);
  free (grids->merged);
  grids->given = NULL;
  grids->merged = NULL;
}

/* A quantizer that rounds to the grid Q. */
static int
fixed_quantizer (const struct qk_graph *g, const char *name,
                 const struct qk_qparams *q, struct qk_quantizer **out)
{
  const struct qk_quant_info info
    = { .name = name, .bits = 8, .qmin = 0, .qmax = 255, .channels = 1 };
  int r;

  if ((r = qk_quantizer_new (g->ctx, &info, NULL, NULL, NULL, NULL, out)) == 0
      && (r = qk_quantizer_fix (*out, q)) < 0) {
    qk_quantizer_free (*out);
    *out = NULL;
  }
  return r;
}

int
qk_grids_put (struct qk_graph *g)
{
  int i, r;

  for (i = 0; i < g->n_values; i++) {
    struct qk_value *v = &g->value[i];
    const struct qk_node *n = v->producer < 0 ? NULL : &g->node[v->producer];

    if (v->given.q.scale == 0)
      continue;
    v->on_grid = true;
    v->q = v->given.q;
    if (n != NULL && qk_node_keeps_grid (n)
        && g->value[n->in[0]].given.q.scale > 0)
      continue;
    if ((r = fixed_quantizer (g, qk_value_name (g, i), &v->given.q, &v->qz))
        < 0)
      return r;
  }
  return 0;
}

bool
qk_node_keeps_grid (const struct qk_node *n)
{
  return n->traits.role == QK_ROLE_SAME_GRID
         || n->traits.role == QK_ROLE_CLAMP;
}

/* The quantizers of a graph, by their names. */
static int
name_quantizers (const struct qk_graph *g, struct qk_names *names)
{
  struct qk_quantizer *qz;
  int at = 0, r = 0;

  while (r == 0 && (qz = qk_graph_next_quantizer (g, &at)) != NULL)
    r = qk_names_add (names, qk_quantizer_info (qz)->name, at);
  return r;
}

/* Whether grids of A are such as B can have. */
static bool
same_kind (const struct qk_quant_info *a, const struct qk_quant_info *b)
{
  return a->weight == b->weight && a->qmin == b->qmin && a->qmax == b->qmax
         && a->symmetric == b->symmetric && a->channels == b->channels;
}

int
qk_grids_carry (const struct qk_graph *from, struct qk_graph *to)
{
  struct qk_names names = { NULL };
  struct qk_quantizer *qz, *old;
  int at = 0, r = name_quantizers (from, &names);

  while (r == 0 && (qz = qk_graph_next_quantizer (to, &at)) != NULL) {
    const struct qk_quant_info *info = qk_quantizer_info (qz);
    int i = qk_names_find (&names, info->name);

    if (i < 0)
      continue;
    i--; /* its number was taken after it */
    old = qk_graph_next_quantizer (from, &i);
    if (same_kind (qk_quantizer_info (old), info))
      r = qk_quantizer_start (qz, qk_quantizer_qparams (old));
  }
  qk_names_clear (&names);
  return r;
}
