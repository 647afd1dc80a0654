/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_solvers.c: one form for each layer within a budget, against all ways
 * there are, and against the bound that the greedy way has. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/rng.h>
#include <qatkit/solver.h>

#include "lib/ok.h"
#include "plugin/loader-priv.h"

#define LAYERS 60
#define FORMS 6

static struct qk_context *ctx;

/* A problem with its arrays. */
struct problem {
  struct qk_choices c;
  int count[LAYERS];
  double cost[LAYERS][FORMS], loss[LAYERS][FORMS];
  const double *costs[LAYERS], *losses[LAYERS];
};

static void
setup (void)
{
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
}

static void
teardown (void)
{
  qk_context_free (ctx);
}

static double
uniform (struct qk_rng *rng)
{
  return qk_rng_double (rng);
}

/* N layers of up to FORMS forms; with EVEN those that cost more lose less, as
 * bits do, else any numbers, also zeros and equal ones. */
static void
make_problem (struct problem *p, int n, int forms, bool even, uint64_t seed)
{
  struct qk_rng rng;
  int i, k;

  qk_rng_seed (&rng, seed, 0);
  memset (p, 0, sizeof *p);
  p->c.struct_size = sizeof p->c;
  p->c.n = n;
  p->c.count = p->count;
  p->c.cost = p->costs;
  p->c.loss = p->losses;
  for (i = 0; i < n; i++) {
    const double size = 1 + 1e5 * uniform (&rng) * uniform (&rng);
    const double noise = pow (10, -6 * uniform (&rng));

    p->count[i] = even ? forms : 1 + (int) (uniform (&rng) * (float) forms);
    p->costs[i] = p->cost[i];
    p->losses[i] = p->loss[i];
    for (k = 0; k < p->count[i]; k++) {
      p->cost[i][k] = even ? size * (k + 2) : floor (5 * uniform (&rng));
      p->loss[i][k] = even ? noise * pow (4, -k) * (0.9 + 0.2 * uniform (&rng))
                           : floor (5 * uniform (&rng));
    }
  }
}

static double
sum_of (const struct problem *p, const double (*x)[FORMS], const int *take)
{
  double sum = 0;

  for (int i = 0; i < p->c.n; i++)
    sum += x[i][take[i]];
  return sum;
}

/* What all layers cost at least, and at most. */
static void
bounds (const struct problem *p, double *least, double *most)
{
  *least = *most = 0;
  for (int i = 0; i < p->c.n; i++) {
    double low = p->cost[i][0], high = low;

    for (int k = 1; k < p->count[i]; k++) {
      low = fmin (low, p->cost[i][k]);
      high = fmax (high, p->cost[i][k]);
    }
    *least += low;
    *most += high;
  }
}

static void
solve (const struct problem *p, const char *name, const char *options,
       int *take)
{
  const struct qk_class *c;
  const struct qk_solver_class *s;
  struct qk_config *cfg;
  void *self;
  int i;

  OK (qk_context_class (ctx, QK_KIND_SOLVER, name, &c));
  OK (qk_config_parse (c->options, options, name, &cfg));
  s = (const struct qk_solver_class *) (const void *) c;
  OK (s->create (cfg, &self));
  qk_config_free (cfg);
  OK (s->solve (self, &p->c, take));
  s->destroy (self);
  for (i = 0; i < p->c.n; i++)
    ck_assert (take[i] >= 0 && take[i] < p->count[i]);
  ck_assert_double_le (sum_of (p, p->cost, take),
                       p->c.budget * (1 + 1e-6) + 1e-12);
}

/* The least loss of all ways, one after the other. */
static double
least_loss (const struct problem *p)
{
  int take[LAYERS] = { 0 }, i;
  double best = INFINITY;

  for (;;) {
    if (sum_of (p, p->cost, take) <= p->c.budget + 1e-9)
      best = fmin (best, sum_of (p, p->loss, take));
    for (i = 0; i < p->c.n && ++take[i] == p->count[i]; i++)
      take[i] = 0;
    if (i == p->c.n)
      return best;
  }
}

static bool
installed (const char *name)
{
  const struct qk_class *c;

  return qk_context_class (ctx, QK_KIND_SOLVER, name, &c) == 0;
}

/* Small problems, all budgets: glpk finds the least, greedy keeps within the
 * largest step of it. */
START_TEST (small)
{
  struct problem p;
  double least, most, step;
  int take[LAYERS], i, k, b;

  make_problem (&p, 1 + _i % 6, FORMS, _i % 2 == 0, (uint64_t) _i);
  bounds (&p, &least, &most);
  for (step = 0, i = 0; i < p.c.n; i++)
    for (k = 0; k < p.count[i]; k++)
      for (b = 0; b < p.count[i]; b++)
        step = fmax (step, p.loss[i][k] - p.loss[i][b]);
  for (b = 0; b <= 8; b++) {
    double best;

    p.c.budget = least + (most - least) * b / 8;
    best = least_loss (&p);
    solve (&p, "greedy", "", take);
    ck_assert_double_ge (sum_of (&p, p.loss, take), best - 1e-9);
    ck_assert_double_le (sum_of (&p, p.loss, take), best + step + 1e-9);
    if (!installed ("glpk"))
      continue;
    solve (&p, "glpk", "gap=0", take);
    ck_assert_double_eq_tol (sum_of (&p, p.loss, take), best,
                             1e-6 * (best + step) + 1e-12);
  }
}
END_TEST

/* With all the budget each layer takes what loses least; with none the cheapest
 * that loses least of those. */
START_TEST (ends)
{
  static const char *const names[] = { "greedy", "glpk" };
  struct problem p;
  double least, most;
  int take[LAYERS];

  make_problem (&p, LAYERS, FORMS, true, 7);
  bounds (&p, &least, &most);
  for (size_t s = 0; s < 2; s++) {
    if (!installed (names[s]))
      continue;
    p.c.budget = most;
    solve (&p, names[s], "", take);
    for (int i = 0; i < LAYERS; i++)
      ck_assert_int_eq (take[i], FORMS - 1);
    p.c.budget = least;
    solve (&p, names[s], "", take);
    for (int i = 0; i < LAYERS; i++)
      ck_assert_int_eq (take[i], 0);
  }
}
END_TEST

/* A network of sixty layers: what is left of the budget is used, and greedy is
 * near to glpk. */
START_TEST (large)
{
  struct problem p;
  double least, most, with, without, best;
  int take[LAYERS], again[LAYERS];

  make_problem (&p, LAYERS, FORMS, true, (uint64_t) _i);
  bounds (&p, &least, &most);
  p.c.budget = least + (most - least) * (_i + 1) / 12;
  solve (&p, "greedy", "fill=no", take);
  without = sum_of (&p, p.loss, take);
  solve (&p, "greedy", "", take);
  with = sum_of (&p, p.loss, take);
  ck_assert_double_le (with, without);
  solve (&p, "greedy", "", again);
  ck_assert_mem_eq (take, again, sizeof take);
  if (!installed ("glpk"))
    return;
  solve (&p, "glpk", "", take);
  best = sum_of (&p, p.loss, take);
  ck_assert_double_le (best, with * (1 + 1e-4));
  ck_assert_double_le (with, best * 1.5);
  solve (&p, "glpk", "", again);
  ck_assert_mem_eq (take, again, sizeof take);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("solvers");
  TCase *tc = tcase_create ("solvers");
  SRunner *runner;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, small, 0, 60);
  tcase_add_test (tc, ends);
  tcase_add_loop_test (tc, large, 0, 11);
  tcase_set_timeout (tc, 120);
  suite_add_tcase (s, tc);
  runner = srunner_create (s);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
