/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* solver.h: chooses one of several forms for each layer within a budget, as
 * when bits are given to layers.
 *
 *   minimise sum of loss[i][take[i]]
 *   so that sum of cost[i][take[i]] <= budget,  0 <= take[i] < count[i]
 *
 * which is the multiple-choice knapsack problem (Sinha and Zoltners, "The
 * multiple-choice knapsack problem", Operations Research 27, 1979). */
#ifndef QATKIT_SOLVER_H
#define QATKIT_SOLVER_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The problem; all borrowed.  Numbers are finite and not negative, counts at
 * least 1, and the cheapest forms together are within the budget. */
struct qk_choices {
  size_t struct_size;
  int n;            /* layers */
  const int *count; /* forms of each */
  /* count[i] numbers for layer i each */
  const double *const *cost; /* bytes, bit operations, seconds */
  const double *const *loss; /* noise in the network's outputs */
  double budget;             /* in the unit of cost */
};

struct qk_solver_class {
  struct qk_class cls;
  int (*create) (const struct qk_config *cfg, void **self);
  void (*destroy) (void *self);
  /* Fill TAKE, C->n numbers of forms.  The same problem always gets the same
   * answer.  What does not keep to the budget is refused. */
  int (*solve) (void *self, const struct qk_choices *c, int *take);
};

#ifdef __cplusplus
}
#endif

#endif /* QATKIT_SOLVER_H */
