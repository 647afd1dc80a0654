/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bits.c: bits for each layer, as cheap as reaches the goal.
 *
 * What each layer costs and how much noise its weights alone make in the
 * outputs is measured for each number of bits (analyze/bits.h).  Noise of
 * different layers is taken to add up, as that of independent errors does, so
 * that for each of some budgets between the cheapest and the dearest network a
 * solver finds the bits with the least noise.  All these networks, and those with
 * the same bits everywhere, are tried after calibration alone; then, if the
 * configuration trains, those cheaper than the first that reaches the goal are
 * halved by training until the cheapest is found that still does. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/solver.h>

#include "base/called.h"
#include "plugin/loader-priv.h"
#include "tune/priv.h"
#include "tune/sensitivity.h"

/* How far a sum may be above the budget: what a solver's numbers are worth. */
#define TOLERANCE 1e-6

/* A network: a form for each layer. */
struct network {
  int *form; /* owned */
  double cost;
  bool reached; /* after calibration alone */
};

struct search {
  struct qk_tuner *u;
  const struct qk_bits_table *table; /* of u->t */
  int bits[QK_MOST_FORMS], n_bits;   /* fewest first */
  const struct qk_solver_class *solver;
  void *self;
  bool nameless;           /* a layer has no name that can be written */
  struct network *network; /* cheapest first, once all are there */
  int n;
};

/* ---- what is given --------------------------------------------------------- */

static int
compare_ints (const void *a, const void *b)
{
  return *(const int *) a - *(const int *) b;
}

/* The numbers of bits that [tune] names. */
static int
read_bits (struct search *s)
{
  const struct qk_config *cfg = s->u->opt->settings->tune;
  float x[QK_MOST_FORMS + 1];
  const int n = qk_config_floats (cfg, "bits", x, QK_MOST_FORMS + 1);
  int i, j;

  for (i = 0; i < n && i <= QK_MOST_FORMS; i++) {
    const int b = (int) x[i];

    for (j = 0; j < s->n_bits && s->bits[j] != b; j++)
      ;
    if (!(x[i] >= (float) b && x[i] <= (float) b) || j < s->n_bits)
      return qk_settings_key_error (
        qk_error (-EINVAL, "expected different whole numbers of bits, got %g",
                  (double) x[i]),
        cfg, "tune", "bits");
    s->bits[s->n_bits++] = b;
  }
  if (s->n_bits < 2)
    return qk_settings_key_error (
      qk_error (-EINVAL,
                "expected at least two numbers of bits to choose "
                "from, got %d",
                s->n_bits),
      cfg, "tune", "bits");
  qsort (s->bits, (size_t) s->n_bits, sizeof *s->bits, compare_ints);
  return 0;
}

static int
open_solver (struct search *s)
{
  struct qk_settings *settings = s->u->opt->settings;
  const char *name = qk_config_string (settings->tune, "solver");
  struct qk_config *cfg = NULL;
  const struct qk_class *c;
  int r;

  if (strcmp (name, "auto") == 0)
    r = qk_context_default (settings->ctx, QK_KIND_SOLVER, 0, &c);
  else
    r = qk_context_class (settings->ctx, QK_KIND_SOLVER, name, &c);
  if (r < 0)
    return qk_settings_key_error (r, settings->tune, "tune", "solver");
  if ((r = qk_settings_options (settings, c, &cfg)) < 0)
    return r;
  s->solver = (const struct qk_solver_class *) (const void *) c;
  r = QK_CALLED (c, "create", s->solver->create (cfg, &s->self));
  qk_config_free (cfg);
  return r;
}

/* ---- choosing ----------------------------------------------------------------- */

static int
compare_networks (const void *a, const void *b)
{
  const struct network *x = a, *y = b;

  return (x->cost > y->cost) - (x->cost < y->cost);
}

static double
cost_of (const struct qk_bits_table *t, const int *form)
{
  double sum = t->rest;

  for (int i = 0; i < t->n; i++)
    sum += t->layer[i].cost[form[i]];
  return sum;
}

/* The form of layer L with the most bits up to BITS, else its first. */
static int
form_for (const struct qk_bits_layer *l, int bits)
{
  int best = -1, fewest = 0;

  for (int k = 0; k < l->n; k++) {
    if (l->bits[k] <= bits && (best < 0 || l->bits[k] > l->bits[best]))
      best = k;
    fewest = l->bits[k] < l->bits[fewest] ? k : fewest;
  }
  return best < 0 ? fewest : best;
}

/* Whether what the solver gave is what was asked for. */
static int
check_answer (const struct search *s, const struct qk_choices *c,
              const int *take)
{
  double sum = 0;

  for (int i = 0; i < c->n; i++) {
    if (take[i] < 0 || take[i] >= c->count[i])
      return qk_error (-EDOM,
                       "solver '%s' gives form %d to layer '%s', expected one "
                       "below %d",
                       s->solver->cls.name, take[i], s->table->layer[i].name,
                       c->count[i]);
    sum += c->cost[i][take[i]];
  }
  if (sum > c->budget * (1 + TOLERANCE))
    return qk_error (-EDOM,
                     "solver '%s' gives a network that costs %g, expected at "
                     "most %g",
                     s->solver->cls.name, sum, c->budget);
  return 0;
}

/* Keep the network FORM, which is taken over, unless it is there. */
static int
keep_network (struct search *s, int *form)
{
  struct network *grown;

  for (int i = 0; i < s->n; i++)
    if (memcmp (s->network[i].form, form, (size_t) s->table->n * sizeof *form)
        == 0) {
      free (form);
      return 0;
    }
  grown = realloc (s->network, ((size_t) s->n + 1) * sizeof *grown);
  if (grown == NULL) {
    free (form);
    return qk_oom ("tune");
  }
  s->network = grown;
  grown[s->n++]
    = (struct network){ .form = form, .cost = cost_of (s->table, form) };
  return 0;
}

static int
choose_one (struct search *s, const struct qk_choices *c)
{
  int *take = calloc ((size_t) c->n + 1, sizeof *take), r;

  if (take == NULL)
    return qk_oom ("tune");
  if ((r = QK_CALLED (&s->solver->cls, "solve",
                      s->solver->solve (s->self, c, take)))
        < 0
      || (r = check_answer (s, c, take)) < 0) {
    free (take);
    return r;
  }
  return keep_network (s, take);
}

/* The sum of the costs of the layers with at most BITS. */
static double
sum_with (const struct qk_bits_table *t, int bits)
{
  double sum = 0;

  for (int i = 0; i < t->n; i++)
    sum += t->layer[i].cost[form_for (&t->layer[i], bits)];
  return sum;
}

/* Networks for budgets at even distances between the cheapest and the
 * dearest. */
static int
choose (struct search *s)
{
  const struct qk_bits_table *t = s->table;
  const int points = (int) qk_config_int (s->u->opt->settings->tune, "points");
  const double **cost = calloc ((size_t) t->n + 1, sizeof *cost);
  const double **loss = calloc ((size_t) t->n + 1, sizeof *loss);
  int *count = calloc ((size_t) t->n + 1, sizeof *count);
  const double low = sum_with (t, s->bits[0]);
  const double high = sum_with (t, s->bits[s->n_bits - 1]);
  int i, r = 0;

  qk_log (s->u->opt->settings->ctx, QK_LOG_INFO,
          "bits are chosen by the solver %s", s->solver->cls.name);
  if (cost == NULL || loss == NULL || count == NULL)
    r = qk_oom ("tune");
  for (i = 0; r == 0 && i < t->n; i++) {
    cost[i] = t->layer[i].cost;
    loss[i] = t->layer[i].noise;
    count[i] = t->layer[i].n;
  }
  for (i = 0; r == 0 && i < points; i++) {
    const struct qk_choices c
      = { .struct_size = sizeof c,
          .n = t->n,
          .count = count,
          .cost = cost,
          .loss = loss,
          .budget = low + (high - low) * i / (points - 1) };

    r = choose_one (s, &c);
  }
  free (cost);
  free (loss);
  free (count);
  if (s->n > 0)
    qsort (s->network, (size_t) s->n, sizeof *s->network, compare_networks);
  return r;
}

/* ---- trials --------------------------------------------------------------------- */

/* "a, b, c": the names of the layers that have BITS in a network, as patterns;
 * *OUT NULL: there are none. */
static int
name_layers (const struct search *s, const int *form, int bits, char **out)
{
  const struct qk_bits_table *t = s->table;
  char *text = NULL;
  size_t size = 0;
  bool any = false;
  FILE *f = open_memstream (&text, &size);

  *out = NULL;
  if (f == NULL)
    return qk_oom ("tune");
  for (int i = 0; i < t->n; i++) {
    const struct qk_bits_layer *l = &t->layer[i];

    if (l->n < 2 || l->bits[form[i]] != bits)
      continue;
    fputs (any ? ", " : "", f);
    for (const char *c = l->name; *c; c++) {
      if (strchr ("*?[\\", *c) != NULL)
        fputc ('\\', f);
      fputc (*c, f);
    }
    any = true;
  }
  if (fclose (f) != 0) {
    free (text);
    return qk_oom ("tune");
  }
  if (any)
    *out = text;
  else
    free (text);
  return 0;
}

/* Mean bits of a layer. */
static double
mean_bits (const struct qk_bits_table *t, const int *form)
{
  double sum = 0;

  for (int i = 0; i < t->n; i++)
    sum += t->layer[i].bits[form[i]];
  return t->n > 0 ? sum / t->n : 0;
}

/* "3 to 8 bits in 53 layers, mean 4.4". */
static int
make_label (const struct search *s, const int *form, char **out)
{
  const struct qk_bits_table *t = s->table;
  int low = 8, high = 2;

  for (int i = 0; i < t->n; i++) {
    const int b = t->layer[i].bits[form[i]];

    low = b < low ? b : low;
    high = b > high ? b : high;
  }
  if ((low == high ? asprintf (out, "%d bits in %d layers", low, t->n)
                   : asprintf (out, "%d to %d bits in %d layers, mean %.1f",
                               low, high, t->n, mean_bits (t, form)))
      < 0)
    return qk_oom ("tune");
  return 0;
}

/* The bits of FORM that need no name: those of all layers that may have others,
 * or else the most. */
static int
common_bits (const struct search *s, const int *form)
{
  const struct qk_bits_table *t = s->table;
  int bits = 0;

  for (int i = 0; i < t->n; i++) {
    const int b = t->layer[i].bits[form[i]];

    if (t->layer[i].n < 2)
      continue;
    if (s->nameless || (bits != 0 && b != bits))
      return s->bits[s->n_bits - 1];
    bits = b;
  }
  return bits;
}

/* The settings of the network FORM: some bits for all, others for layers. */
static int
make_trial (const struct search *s, const int *form, bool qat,
            struct qk_trial *out)
{
  const int common = common_bits (s, form);
  int i, r = qk_trial_make (out, NULL, "qconfig:weight.bits=%d", common);

  for (i = s->n_bits - 1; r == 0 && i >= 0; i--) {
    char *names, *text = NULL;

    if (s->bits[i] == common
        || (r = name_layers (s, form, s->bits[i], &names)) < 0
        || names == NULL)
      continue;
    if (asprintf (&text, "qconfig %s:weight.bits=%d", names, s->bits[i]) < 0)
      r = qk_oom ("tune");
    else {
      r = qk_trial_add (out, text);
      free (text);
    }
    free (names);
  }
  if (r == 0)
    r = make_label (s, form, &out->label);
  if (r < 0) {
    qk_trial_clear (out);
    return r;
  }
  out->qat = qat;
  out->cost = cost_of (s->table, form);
  out->weight_bits = common;
  for (i = 0; i < s->table->n; i++)
    if (s->table->layer[i].bits[form[i]] < out->weight_bits)
      out->weight_bits = s->table->layer[i].bits[form[i]];
  return 0;
}

static int
try_network (struct search *s, const int *form, bool qat, bool *reached)
{
  struct qk_trial t;
  const int r = make_trial (s, form, qat, &t);

  return r < 0 ? r : qk_tune_try (s->u, &t, reached);
}

/* The same bits in all layers, the most first. */
static int
try_uniform (struct search *s)
{
  int *form = calloc ((size_t) s->table->n + 1, sizeof *form), r = 0;
  bool reached;

  if (form == NULL)
    return qk_oom ("tune");
  for (int b = s->n_bits - 1; r == 0 && b >= 0; b--) {
    for (int i = 0; i < s->table->n; i++)
      form[i] = form_for (&s->table->layer[i], s->bits[b]);
    r = try_network (s, form, false, &reached);
  }
  free (form);
  return r;
}

static int
try_chosen (struct search *s)
{
  int r = 0;

  for (int i = s->n - 1; r == 0 && i >= 0; i--)
    r = try_network (s, s->network[i].form, false, &s->network[i].reached);
  return r;
}

/* Train down to the cheapest network that reaches the goal: HIGH does, those
 * below LOW do not. */
static int
halve (struct search *s, int low, int high)
{
  int r = 0;

  while (r == 0 && low < high) {
    const int middle = (low + high) / 2;
    bool reached;

    r = try_network (s, s->network[middle].form, true, &reached);
    high = reached ? middle : high;
    low = reached ? low : middle + 1;
  }
  return r;
}

static int
try_trained (struct search *s)
{
  int high = 0, r;
  bool reached;

  while (high < s->n && !s->network[high].reached)
    high++;
  if (high < s->n)
    return halve (s, 0, high);
  /* none without training: whether the dearest does with it */
  r = try_network (s, s->network[s->n - 1].form, true, &reached);
  return r == 0 && reached ? halve (s, 0, s->n - 1) : r;
}

/* ---- the whole -------------------------------------------------------------------- */

static int
take_cost (const struct qk_tuner *u, enum qk_cost *out)
{
  static const char *const names[] = { [QK_COST_BYTES] = "bytes",
                                       [QK_COST_BITOPS] = "bitops",
                                       [QK_COST_LATENCY] = "latency" };
  const char *name = u->opt->minimize;

  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp (name, names[i]) == 0) {
      *out = (enum qk_cost) i;
      u->t->minimize = names[i];
      return 0;
    }
  return qk_error (
    -EINVAL, "minimize: %s, expected bytes, bitops or latency%s", name,
    strcmp (name, "arena") == 0
      ? "; the arena is the same for all bits, as an activation is held as a "
        "byte"
      : "");
}

/* A layer whose name cannot stand in a configuration keeps its bits. */
static void
fix_nameless (struct search *s, struct qk_bits_table *t)
{
  for (int i = 0; i < t->n; i++) {
    struct qk_bits_layer *l = &t->layer[i];
    const int k = form_for (l, s->bits[s->n_bits - 1]);

    if (l->n < 2 || l->name[strcspn (l->name, ",; \t\n=]")] == 0)
      continue;
    s->nameless = true;
    qk_log (s->u->opt->settings->ctx, QK_LOG_WARNING,
            "layer '%s' keeps %d bits: its name cannot stand in a [qconfig "
            "PATTERN]",
            l->name, l->bits[k]);
    l->bits[0] = l->bits[k];
    l->noise[0] = l->noise[k];
    l->cost[0] = l->cost[k];
    l->n = 1;
  }
}

static int
measure (struct search *s)
{
  struct qk_tuner *u = s->u;
  struct qk_bits_options opt
    = { .settings = u->opt->settings,
        .m = u->opt->m,
        .g = u->float_g,
        .objective = u->run->s.objective,
        .bits = s->bits,
        .n_bits = s->n_bits,
        .probes = (int) qk_config_int (u->opt->settings->tune, "probes"),
        .samples = qk_config_int (u->opt->settings->tune, "samples") };
  bool any = false;
  int i, r;

  if (strcmp (qk_config_string (u->opt->settings->tune, "sensitivity"),
              "hessian")
      == 0)
    opt.sensitivity = QK_SENSITIVITY_HESSIAN;
  if ((r = take_cost (u, &opt.cost)) < 0
      || (r = qk_sensitivity_get (u, &opt, &u->t->bits)) < 0)
    return r;
  fix_nameless (s, u->t->bits);
  s->table = u->t->bits;
  for (i = 0; i < s->table->n; i++)
    any = any || s->table->layer[i].n > 1;
  return any ? 0
             : qk_error (-EINVAL,
                         "minimize: no layer's bits are free to choose: each "
                         "has a section [qconfig PATTERN] or a preset that "
                         "fixes them, or is left in float");
}

int
qk_tune_check_bits (struct qk_tuner *u)
{
  struct search s = { .u = u };
  enum qk_cost cost;
  int r;

  if ((r = take_cost (u, &cost)) == 0 && (r = read_bits (&s)) == 0)
    r = open_solver (&s);
  if (s.self != NULL)
    s.solver->destroy (s.self);
  return r;
}

int
qk_tune_bits (struct qk_tuner *u)
{
  struct search s = { .u = u };
  int i, r;

  if ((r = read_bits (&s)) == 0 && (r = measure (&s)) == 0
      && (r = open_solver (&s)) == 0 && (r = choose (&s)) == 0
      && (r = try_uniform (&s)) == 0 && (r = try_chosen (&s)) == 0
      && qk_config_int (u->opt->settings->qat, "epochs") > 0)
    r = try_trained (&s);
  for (i = 0; i < s.n; i++)
    free (s.network[i].form);
  free (s.network);
  if (s.self != NULL)
    s.solver->destroy (s.self);
  return r;
}
