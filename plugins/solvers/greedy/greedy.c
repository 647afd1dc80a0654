/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* greedy.c: the step that saves most loss for its cost, again and again.
 *
 * Of each layer only the forms on the lower convex hull of (cost, loss) count;
 * from the cheapest of them on, a step to the next saves less and less loss for
 * its cost.  All layers begin with the cheapest; then the best step of any layer
 * is made while the budget allows it, which is optimal for the budgets that it
 * reaches exactly (Sinha and Zoltners 1979).  What is left of the budget goes to
 * the single changes that save most. */
#include "config.h"

#include <string.h>

#include <qatkit/solver.h>
#include <qatkit/tensor.h>

struct greedy {
  bool fill;
};

static const struct qk_option greedy_options[]
  = { { "fill", QK_OPT_BOOL, "yes", 0, 0, NULL,
        "Whether what the steps leave of the budget is used for single "
        "changes." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
greedy_create (const struct qk_config *cfg, void **self)
{
  struct greedy *s = qk_alloc (sizeof *s);

  if (s == NULL)
    return qk_oom ("greedy");
  s->fill = qk_config_bool (cfg, "fill");
  *self = s;
  return 0;
}

static void
greedy_destroy (void *self)
{
  qk_free (self);
}

/* The cheapest form of layer I; of equally cheap ones the best. */
static int
cheapest (const struct qk_choices *c, int i)
{
  int best = 0;

  for (int k = 1; k < c->count[i]; k++)
    if (c->cost[i][k] < c->cost[i][best]
        || (c->cost[i][k] <= c->cost[i][best]
            && c->loss[i][k] < c->loss[i][best]))
      best = k;
  return best;
}

/* The next form of layer I on the hull after FROM: the one with the steepest
 * way down, of equally steep ones the dearest; -1: none.  *SLOPE is the loss it
 * saves for its cost. */
static int
next_on_hull (const struct qk_choices *c, int i, int from, double *slope)
{
  int best = -1;

  for (int k = 0; k < c->count[i]; k++) {
    const double cost = c->cost[i][k] - c->cost[i][from];
    const double saved = c->loss[i][from] - c->loss[i][k];

    if (!(cost > 0) || !(saved > 0))
      continue;
    if (best < 0 || saved / cost > *slope
        || (saved / cost >= *slope && c->cost[i][k] > c->cost[i][best])) {
      best = k;
      *slope = saved / cost;
    }
  }
  return best;
}

/* Make the best step of any layer that the budget allows; a layer whose step
 * does not fit is DONE.  Whether one was made. */
static bool
best_step (const struct qk_choices *c, int *take, bool *done, double *left)
{
  for (;;) {
    double steepest = 0;
    int layer = -1, form = -1;

    for (int i = 0; i < c->n; i++) {
      double slope = 0;
      const int k = done[i] ? -1 : next_on_hull (c, i, take[i], &slope);

      if (k >= 0 && (layer < 0 || slope > steepest)) {
        steepest = slope;
        layer = i;
        form = k;
      }
    }
    if (layer < 0)
      return false;
    if (c->cost[layer][form] - c->cost[layer][take[layer]] <= *left) {
      *left -= c->cost[layer][form] - c->cost[layer][take[layer]];
      take[layer] = form;
      return true;
    }
    done[layer] = true;
  }
}

/* Make the single change that saves most of those that fit; whether there was
 * one. */
static bool
best_change (const struct qk_choices *c, int *take, double *left)
{
  double most = 0;
  int layer = -1, form = -1;

  for (int i = 0; i < c->n; i++)
    for (int k = 0; k < c->count[i]; k++) {
      const double saved = c->loss[i][take[i]] - c->loss[i][k];

      if (c->cost[i][k] - c->cost[i][take[i]] <= *left && saved > most) {
        most = saved;
        layer = i;
        form = k;
      }
    }
  if (layer < 0)
    return false;
  *left -= c->cost[layer][form] - c->cost[layer][take[layer]];
  take[layer] = form;
  return true;
}

static int
greedy_solve (void *self, const struct qk_choices *c, int *take)
{
  const struct greedy *s = self;
  bool *done = qk_alloc (((size_t) c->n + 1) * sizeof *done);
  double left = c->budget;

  if (done == NULL)
    return qk_oom ("greedy");
  memset (done, 0, ((size_t) c->n + 1) * sizeof *done);
  for (int i = 0; i < c->n; i++) {
    take[i] = cheapest (c, i);
    left -= c->cost[i][take[i]];
  }
  while (best_step (c, take, done, &left))
    ;
  while (s->fill && best_change (c, take, &left))
    ;
  qk_free (done);
  return 0;
}

static const struct qk_solver_class greedy
  = { .cls
      = QK_CLASS_DEFAULT (struct qk_solver_class, QK_KIND_SOLVER, "greedy",
                          "The step that saves most for its cost, again "
                          "and again",
                          greedy_options, 10, 0, ""),
      .create = greedy_create,
      .destroy = greedy_destroy,
      .solve = greedy_solve };

QK_PLUGIN ("greedy", "1.0", "LGPL-2.1-or-later", &greedy.cls);
