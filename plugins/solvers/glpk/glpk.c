/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* glpk.c: exactly, as an integer program, by GLPK's branch and cut.
 *
 *   minimise sum loss_ik x_ik,  sum_k x_ik = 1 for each layer i,
 *   sum cost_ik x_ik <= budget,  x_ik 0 or 1
 *
 * Costs are given to GLPK by the budget, losses first by the largest and then by
 * the loss that was found, without the forms that lose more alone, as its
 * tolerances are meant for numbers near 1.  GLPK ends the program where it finds
 * no memory, unless its hook for errors jumps out (its manual, glp_error_hook);
 * what it held until then is freed with its environment, which is one of the
 * thread. */
#include "config.h"

#include <setjmp.h>

#include <glpk.h>

#include <qatkit/solver.h>
#include <qatkit/tensor.h>

struct glpk {
  double gap;
};

static const struct qk_option glpk_options[]
  = { { "gap", QK_OPT_FLOAT, "0.0001", 0, 1, NULL,
        "By which share the loss may be larger than the least possible; a "
        "small one may take long." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
glpk_create (const struct qk_config *cfg, void **self)
{
  struct glpk *s = qk_alloc (sizeof *s);

  if (s == NULL)
    return qk_oom ("glpk");
  s->gap = qk_config_float (cfg, "gap");
  *self = s;
  return 0;
}

static void
glpk_destroy (void *self)
{
  qk_free (self);
}

/* Rounds of solving, each with losses by what the one before has found. */
#define ROUNDS 3

static double
largest_loss (const struct qk_choices *c)
{
  double most = 0;

  for (int i = 0; i < c->n; i++)
    for (int k = 0; k < c->count[i]; k++)
      most = c->loss[i][k] > most ? c->loss[i][k] : most;
  return most > 0 ? most : 1;
}

/* Rows 1 to n say that each layer has one form, row n + 1 keeps to the budget;
 * a column for each form, layer by layer; one that loses more than LOSS alone is
 * not to be taken. */
static void
state_problem (glp_prob *p, const struct qk_choices *c, double loss)
{
  const double budget = c->budget > 0 ? c->budget : 1;

  glp_set_obj_dir (p, GLP_MIN);
  glp_add_rows (p, c->n + 1);
  for (int i = 0; i < c->n; i++)
    glp_set_row_bnds (p, i + 1, GLP_FX, 1, 1);
  glp_set_row_bnds (p, c->n + 1, GLP_UP, 0, c->budget / budget);
  for (int i = 0; i < c->n; i++)
    for (int k = 0; k < c->count[i]; k++) {
      const int column = glp_add_cols (p, 1);
      const int row[3] = { 0, i + 1, c->n + 1 };
      const double value[3] = { 0, 1, c->cost[i][k] / budget };

      glp_set_col_kind (p, column, GLP_BV);
      if (c->loss[i][k] > loss)
        glp_set_col_bnds (p, column, GLP_FX, 0, 0);
      else
        glp_set_obj_coef (p, column, c->loss[i][k] / loss);
      glp_set_mat_col (p, column, 2, row, value);
    }
}

static int
solve_problem (glp_prob *p, double gap)
{
  glp_iocp o;
  int r;

  glp_init_iocp (&o);
  o.msg_lev = GLP_MSG_OFF;
  o.presolve = GLP_ON;
  o.mip_gap = gap;
  if ((r = glp_intopt (p, &o)) == 0)
    r = glp_mip_status (p) == GLP_OPT ? 0 : -1;
  else if (r == GLP_EMIPGAP)
    r = 0;
  return r == 0 ? 0 : qk_error (-EDOM, "glpk: GLPK finds no solution (%d)", r);
}

static void
read_solution (glp_prob *p, const struct qk_choices *c, int *take)
{
  int column = 1;

  for (int i = 0; i < c->n; i++) {
    take[i] = 0;
    for (int k = 0; k < c->count[i]; k++, column++)
      if (glp_mip_col_val (p, column) > 0.5)
        take[i] = k;
  }
}

static int
solve_with (const struct qk_choices *c, double gap, double loss, int *take)
{
  glp_prob *p = glp_create_prob ();
  int r;

  state_problem (p, c, loss);
  if ((r = solve_problem (p, gap)) == 0)
    read_solution (p, c, take);
  glp_delete_prob (p);
  return r;
}

static double
loss_of (const struct qk_choices *c, const int *take)
{
  double sum = 0;

  for (int i = 0; i < c->n; i++)
    sum += c->loss[i][take[i]];
  return sum;
}

static int
solve_rounds (const struct qk_choices *c, double gap, int *take)
{
  double loss = largest_loss (c);
  int r = 0;

  for (int i = 0; r == 0 && i < ROUNDS && loss > 0; i++) {
    if ((r = solve_with (c, gap, loss, take)) < 0)
      return r;
    /* a little more, so that what was found may be found again */
    loss = 1.000001 * loss_of (c, take);
  }
  return r;
}

static void
jump_out (void *arg)
{
  longjmp (*(jmp_buf *) arg, 1);
}

static int
glpk_solve (void *self, const struct qk_choices *c, int *take)
{
  const struct glpk *s = self;
  jmp_buf fault;
  int r;

  if (setjmp (fault) != 0) {
    glp_error_hook (NULL, NULL);
    glp_free_env ();
    return qk_error (-ENOMEM, "glpk: GLPK gives up; it says why on the "
                              "terminal");
  }
  glp_term_out (GLP_OFF);
  glp_error_hook (jump_out, &fault);
  r = solve_rounds (c, s->gap, take);
  glp_error_hook (NULL, NULL);
  glp_free_env ();
  return r;
}

static const struct qk_solver_class glpk
  = { .cls = QK_CLASS_DEFAULT (struct qk_solver_class, QK_KIND_SOLVER, "glpk",
                               "Exactly, as an integer program, by GLPK",
                               glpk_options, 20, 0, ""),
      .create = glpk_create,
      .destroy = glpk_destroy,
      .solve = glpk_solve };

QK_PLUGIN ("glpk", "1.0", "LGPL-2.1-or-later", &glpk.cls);
