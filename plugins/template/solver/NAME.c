/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: one price for all layers (Lagrange): each takes the form with the
 * least loss + price * cost, and the price is the lowest that keeps to the
 * budget, found by halving.
 *
 *   [tune]
 *   solver = ./NAME.so
 *   [solver NAME]
 *   halvings = 60 */
#include <stdlib.h>

#include <qatkit/solver.h>

struct NAME {
  int64_t halvings;
};

static const struct qk_option NAME_options[]
  = { { "halvings", QK_OPT_INT, "60", 1, 1000, NULL,
        "How often the interval of the price is halved" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static int
NAME_create (const struct qk_config *cfg, void **self)
{
  struct NAME *s = malloc (sizeof *s);

  if (s == NULL)
    return qk_oom ("NAME");
  s->halvings = qk_config_int (cfg, "halvings");
  *self = s;
  return 0;
}

static void
NAME_destroy (void *self)
{
  free (self);
}

/* What all layers take where a unit of cost has PRICE, in units of loss times
 * (1 - price): 0, loss alone counts; 1, cost alone.  Returns what that costs. */
static double
take_at (const struct qk_choices *c, double price, int *take)
{
  double sum = 0;
  int i, k;

  for (i = 0; i < c->n; i++) {
    double least = 0;

    take[i] = -1;
    for (k = 0; k < c->count[i]; k++) {
      const double x
        = (1 - price) * c->loss[i][k] + price * c->cost[i][k] / c->budget;

      if (take[i] < 0 || x < least
          || (x <= least && c->cost[i][k] < c->cost[i][take[i]])) {
        take[i] = k;
        least = x;
      }
    }
    sum += c->cost[i][take[i]];
  }
  return sum;
}

/* Fill TAKE with the number of a form for each layer, so that the costs
 * together are at most the budget; the cheapest forms always are. */
static int
NAME_solve (void *self, const struct qk_choices *c, int *take)
{
  const struct NAME *s = self;
  double low = 0, high = 1; /* high keeps to the budget */
  int64_t i;

  for (i = 0; i < s->halvings; i++) {
    const double middle = (low + high) / 2;

    if (take_at (c, middle, take) <= c->budget)
      high = middle;
    else
      low = middle;
  }
  take_at (c, high, take);
  return 0;
}

static const struct qk_solver_class NAME_class = {
  .cls = QK_CLASS (struct qk_solver_class, QK_KIND_SOLVER, "NAME",
                   "One price of a unit of cost for all layers", NAME_options),
  .create = NAME_create,
  .destroy = NAME_destroy,
  .solve = NAME_solve,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
