/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tune.c: which settings are tried, in which order, and which are kept. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/observer.h>

#include "base/atomic-file.h"
#include "analyze/analyze.h"
#include "plugin/loader-priv.h"
#include "tune/journal.h"
#include "tune/tune.h"

/* The most layers that are left in float. */
#define MOST_FLOAT 16

struct tuner {
  const struct qk_tune_options *opt;
  struct qk_run *run;       /* float network and data of the configuration */
  struct qk_graph *float_g; /* the float network, as trained or loaded */
  struct qk_journal *journal;
  char *text;    /* of the configuration, as INI */
  char *weights; /* the float weights, if this run trained them */
  struct qk_tuning *t;
  char *fallback[MOST_FLOAT]; /* layers, most sensitive first */
  int n_fallback;
};

/* ---- trials --------------------------------------------------------------- */

static void
clear_trial (struct qk_trial *t)
{
  int i;

  for (i = 0; i < t->n_set; i++)
    free (t->set[i]);
  memset (t, 0, sizeof *t);
}

/* A setting takes the place of another of the same key. */
static int
add_setting (struct qk_trial *t, const char *text)
{
  const size_t key = strcspn (text, "=");
  int i;

  for (i = 0; i < t->n_set; i++)
    if (strncmp (t->set[i], text, key + 1) == 0) {
      char *copy = strdup (text);

      if (copy == NULL)
        return qk_oom ("tune");
      free (t->set[i]);
      t->set[i] = copy;
      return 0;
    }
  if (t->n_set == QK_TRIAL_SETTINGS)
    return qk_error (-E2BIG, "tune: more than %d settings in one trial",
                     QK_TRIAL_SETTINGS);
  if ((t->set[t->n_set] = strdup (text)) == NULL)
    return qk_oom ("tune");
  t->n_set++;
  return 0;
}

/* A trial with the settings of FROM (may be NULL) and one more, as printf
 * makes it from FMT (NULL: none). */
static int QK_PRINTF (3, 4)
  make_trial (struct qk_trial *t, const struct qk_trial *from, const char *fmt,
              ...)
{
  char *text = NULL;
  va_list args;
  int i, r = 0;

  memset (t, 0, sizeof *t);
  t->weight_bits = from != NULL ? from->weight_bits : 0;
  t->n_float = from != NULL ? from->n_float : 0;
  t->qat = from != NULL && from->qat;
  for (i = 0; r == 0 && from != NULL && i < from->n_set; i++)
    r = add_setting (t, from->set[i]);
  if (r == 0 && fmt != NULL) {
    va_start (args, fmt);
    if (vasprintf (&text, fmt, args) < 0)
      r = qk_oom ("tune");
    else {
      r = add_setting (t, text);
      free (text);
    }
    va_end (args);
  }
  if (r < 0)
    clear_trial (t);
  return r;
}

char *
qk_trial_text (const struct qk_trial *t)
{
  size_t n = 32;
  char *s;
  int i;

  for (i = 0; i < t->n_set; i++)
    n += strlen (t->set[i]) + 2;
  if ((s = malloc (n)) == NULL)
    return NULL;
  strcpy (s, t->qat ? "qat" : "");
  for (i = 0; i < t->n_set; i++) {
    strcat (s, *s ? ", " : "");
    strcat (s, t->set[i]);
  }
  if (t->n_set == 0)
    strcat (s, t->qat ? " as configured" : "as configured");
  return s;
}

/* Whether A is better than B, the goal in mind. */
static bool
better (const struct qk_goal *g, const struct qk_trial *a,
        const struct qk_trial *b)
{
  const double x = qk_scores_get (&a->scores, g->score);
  const double y = qk_scores_get (&b->scores, g->score);

  if (a->reached != b->reached)
    return a->reached;
  if (a->reached && a->n_float != b->n_float)
    return a->n_float < b->n_float;
  if (a->reached && a->weight_bits != b->weight_bits)
    return a->weight_bits < b->weight_bits;
  return g->at_least ? x > y : x < y;
}

/* ---- making one ------------------------------------------------------------ */

/* The configuration with a trial's settings. */
static int
trial_ini (struct tuner *u, const struct qk_trial *t, struct qk_ini **out)
{
  struct qk_ini *ini;
  int i, r = qk_ini_parse (u->text, strlen (u->text), "tune", &ini);

  if (r < 0)
    return r;
  for (i = 0; r == 0 && i < t->n_set; i++)
    r = qk_ini_override (ini, t->set[i]);
  /* the float network is trained once */
  if (r == 0 && u->weights != NULL
      && (r = qk_ini_set (ini, "model", "weights", u->weights, "tune")) == 0)
    r = qk_ini_set (ini, "train", "epochs", "0", "tune");
  if (r == 0 && u->weights != NULL)
    qk_ini_unset (ini, "model", "weights.skip");
  if (r < 0) {
    qk_ini_free (ini);
    return r;
  }
  *out = ini;
  return 0;
}

static int
trial_job (struct tuner *u, const struct qk_trial *t, const char *output,
           struct qk_settings **out)
{
  struct qk_ini *ini;
  int r = trial_ini (u, t, &ini);

  if (r < 0)
    return r;
  if (output != NULL
      && ((r = qk_ini_set (ini, "run", "output", output, "tune")) < 0
          || (r = qk_ini_set (ini, "run", "reporter", "", "tune")) < 0)) {
    qk_ini_free (ini);
    return r;
  }
  return qk_settings_new (u->opt->settings->ctx, ini, out);
}

static void
take_result (struct qk_trial *t, const struct qk_result *result)
{
  t->scores = result->scores;
  t->bytes = result->bytes;
  t->done = true;
}

static int
calibrate_trial (struct tuner *u, struct qk_trial *t, const char *label)
{
  struct qk_session s = u->run->s; /* its data and objective, other settings */
  struct qk_graph *int8 = NULL;
  struct qk_result result;
  bool analysis;
  int r;

  if ((r = trial_job (u, t, NULL, &s.settings)) < 0)
    return r;
  if ((r = qk_session_ptq (&s, u->float_g, &int8, &analysis)) == 0
      && (r = qk_session_evaluate (&s, int8, label, -1, &result)) == 0)
    take_result (t, &result);
  qk_graph_free (int8);
  qk_settings_free (s.settings);
  return r;
}

/* QAT in a folder of its own, where it can be resumed. */
static int
train_trial (struct tuner *u, struct qk_trial *t)
{
  struct qk_settings *settings = NULL;
  struct qk_run *run = NULL;
  char *output;
  int r;

  if (asprintf (&output, "%s/trial-%d", u->run->output, u->t->n + 1) < 0)
    return qk_oom ("tune");
  r = trial_job (u, t, output, &settings);
  if (r == 0)
    r = qk_run_new (settings, u->opt->m,
                    u->opt->resume ? QK_RUN_RESUME : QK_RUN_OVERWRITE, &run);
  if (r == 0 && (r = qk_run_go (run, QK_PART_QAT)) == 0)
    r = qk_run_finish (run);
  if (r == 0 && !run->result[QK_ROW_INT8].valid)
    r = qk_error (-EINVAL, "tune: [qat] epochs is 0, so training cannot help");
  if (r == 0)
    take_result (t, &run->result[QK_ROW_INT8]);
  qk_run_free (run);
  qk_settings_free (settings);
  free (output);
  return r;
}

/* Make the trial T, which the tuning takes over, unless there were enough.
 * *REACHED: whether it reaches the goal. */
static int
try (struct tuner *u, struct qk_trial *t, bool *reached)
{
  struct qk_tuning *all = u->t;
  struct qk_trial *grown;
  char *text, *label;
  int r = 0;

  *reached = false;
  if (all->n >= u->opt->max_trials) {
    clear_trial (t);
    return 0;
  }
  grown = realloc (all->trial, ((size_t) all->n + 1) * sizeof *grown);
  text = qk_trial_text (t);
  if (grown != NULL)
    all->trial = grown;
  if (grown == NULL || text == NULL
      || asprintf (&label, "trial %d", all->n + 1) < 0) {
    free (text);
    clear_trial (t);
    return qk_oom ("tune");
  }
  if (!qk_journal_find (u->journal, t)) {
    qk_log (u->opt->settings->ctx, QK_LOG_INFO, "%s: %s", label, text);
    r = t->qat ? train_trial (u, t) : calibrate_trial (u, t, label);
    if (r == 0)
      r = qk_journal_add (u->journal, t);
  }
  free (label);
  if (r < 0) {
    qk_error_prefix (r, "%s: ", text);
    free (text);
    clear_trial (t);
    return r;
  }
  free (text);
  t->reached = *reached
    = qk_goal_reached (&all->goal, &all->float_scores, &t->scores);
  all->trial[all->n] = *t;
  if (all->n == 0 || better (&u->t->goal, t, &all->trial[all->best]))
    all->best = all->n;
  all->n++;
  return 0;
}

/* ---- what is tried ----------------------------------------------------------- */

static int
try_observers (struct tuner *u)
{
  static const char *const per_channel[] = { "yes", "no" };
  const struct qk_class **observer;
  struct qk_trial t, base;
  bool reached;
  size_t i, j;
  int r = qk_context_ranked (u->opt->settings->ctx, QK_KIND_OBSERVER,
                             QK_FOR_PTQ_ACTIVATION, &observer);

  if (r < 0)
    return r;

  for (i = 0; r == 0 && i < 2; i++) {
    r = make_trial (&base, NULL, "qconfig:weight.per_channel=%s",
                    per_channel[i]);
    base.weight_bits = u->t->trial[0].weight_bits;
    for (j = 0; r == 0 && observer[j] != NULL; j++)
      if ((r = make_trial (&t, &base, "ptq:activation.observer=%s",
                           observer[j]->name))
          == 0)
        r = try (u, &t, &reached);
    clear_trial (&base);
  }
  free (observer);
  return r;
}

/* While the goal is reached, with fewer bits. */
static int
try_bits (struct tuner *u)
{
  static const int bits[] = { 7, 6, 5, 4 };
  bool reached = true;
  struct qk_trial t;
  size_t i;
  int r;

  for (i = 0; reached && i < sizeof bits / sizeof *bits; i++) {
    const struct qk_trial *best = &u->t->trial[u->t->best];

    if (bits[i] >= best->weight_bits)
      continue;
    if ((r = make_trial (&t, best, "qconfig:weight.bits=%d", bits[i])) < 0)
      return r;
    t.weight_bits = bits[i];
    if ((r = try (u, &t, &reached)) < 0)
      return r;
  }
  return 0;
}

/* The layers by what they cost, in the network of the best trial. */
static int
rank_layers (struct tuner *u)
{
  struct qk_analyze_options opt = {
    .m = u->opt->m,
    .subject = "tune",
    .samples = u->opt->samples,
    .batches = 1,
  };
  struct qk_analysis *a = NULL;
  struct qk_settings *settings;
  int i, r;

  if ((r = trial_job (u, &u->t->trial[u->t->best], NULL, &settings)) < 0)
    return r;
  opt.settings = settings;
  r = qk_analyze (&opt, &a);
  for (i = 0; r == 0 && i < a->n && u->n_fallback < MOST_FLOAT; i++)
    if (a->layer[i].node >= 0
        && (u->fallback[u->n_fallback++] = strdup (a->layer[i].name)) == NULL)
      r = qk_oom ("tune");
  qk_analysis_free (a);
  qk_settings_free (settings);
  return r;
}

/* The K most sensitive layers in float. */
static int
try_fallback (struct tuner *u, const struct qk_trial *base, int k,
              bool *reached)
{
  struct qk_trial t;
  char *text;
  int i, r = make_trial (&t, base, NULL);

  for (i = 0; r == 0 && i < k; i++) {
    if (asprintf (&text, "qconfig %s:quantize=no", u->fallback[i]) < 0) {
      r = qk_oom ("tune");
      break;
    }
    r = add_setting (&t, text);
    free (text);
  }
  if (r < 0) {
    clear_trial (&t);
    return r;
  }
  t.n_float = k;
  return try (u, &t, reached);
}

/* As few layers in float as reach the goal: double their number until it is,
 * then halve the gap. */
static int
try_fallbacks (struct tuner *u)
{
  struct qk_trial base;
  bool reached = false;
  int low = 0, high = 0, k, r;

  if ((u->n_fallback == 0 && (r = rank_layers (u)) < 0)
      || (r = make_trial (&base, &u->t->trial[u->t->best], NULL)) < 0)
    return r;
  for (k = 1; r == 0 && !reached && k <= u->n_fallback; k *= 2) {
    low = high;
    high = k;
    r = try_fallback (u, &base, k, &reached);
  }
  while (r == 0 && reached && high - low > 1) {
    const int middle = (low + high) / 2;
    bool enough;

    if ((r = try_fallback (u, &base, middle, &enough)) == 0) {
      high = enough ? middle : high;
      low = enough ? low : middle;
    }
  }
  clear_trial (&base);
  return r;
}

/* Train with the settings that lost least. */
static int
try_training (struct tuner *u)
{
  struct qk_trial t;
  bool reached;
  int i, best = 0, r;

  for (i = 1; i < u->t->n; i++)
    if (u->t->trial[i].n_float == 0
        && better (&u->t->goal, &u->t->trial[i], &u->t->trial[best]))
      best = i;
  if ((r = make_trial (&t, &u->t->trial[best], NULL)) < 0)
    return r;
  t.qat = true;
  return try (u, &t, &reached);
}

static bool
goal_reached (const struct tuner *u)
{
  return u->t->n > 0 && u->t->trial[u->t->best].reached;
}

static int
search (struct tuner *u)
{
  const char *bits;
  struct qk_trial t;
  bool reached;
  int r;

  if ((r = make_trial (&t, NULL, NULL)) < 0)
    return r;
  bits = qk_ini_get (u->opt->settings->ini, "qconfig", "weight.bits");
  t.weight_bits = bits != NULL ? atoi (bits) : 8;
  if ((r = try (u, &t, &reached)) < 0 || (r = try_observers (u)) < 0)
    return r;
  if (goal_reached (u))
    return try_bits (u);
  if (qk_config_int (u->opt->settings->qat, "epochs") > 0
      && (r = try_training (u)) < 0)
    return r;
  return goal_reached (u) ? 0 : try_fallbacks (u);
}

/* ---- the whole ---------------------------------------------------------------- */

/* tuned.ini: what repeats the best trial with "qatkit run": without QAT where
 * that was not needed. */
static int
write_config (struct tuner *u)
{
  const struct qk_trial *best = &u->t->trial[u->t->best];
  char *path = qk_run_path (u->run, "tuned.ini"), *output = NULL;
  char *text = NULL, *whole = NULL, number[32];
  struct qk_ini *ini = NULL;
  int r = -ENOMEM;

  if (path == NULL || asprintf (&output, "%s/tuned", u->run->output) < 0)
    goto end;
  if ((r = trial_ini (u, best, &ini)) < 0
      || (r = qk_ini_set (ini, "run", "output", output, "tune")) < 0
      || (!best->qat
          && (r = qk_ini_set (ini, "qat", "epochs", "0", "tune")) < 0)
      || (r = qk_ini_text (ini, &text)) < 0)
    goto end;
  r = -ENOMEM;
  if (asprintf (
        &whole, "; int8 %s %s%s with: qatkit run tuned.ini\n%s",
        u->t->goal.name,
        qk_score_print (&u->t->goal.spec,
                        qk_scores_get (&best->scores, u->t->goal.score),
                        number, sizeof number),
        u->t->goal.spec.percent ? " %" : "", text)
      < 0)
    goto end;
  r = qk_atomic_write_data (path, whole, strlen (whole));
  u->t->config = whole;
end:
  if (r == -ENOMEM)
    qk_error (r, "tune: out of memory");
  qk_ini_free (ini);
  free (text);
  free (output);
  free (path);
  return r;
}

/* The goal, in the words of the network's scores. */
static int
take_goal (struct tuner *u)
{
  const struct qk_objective *o = u->run->s.objective;
  struct qk_goal *g = &u->t->goal;
  int r;

  if (u->opt->goal != NULL)
    return (r = qk_goal_parse (u->opt->goal, g)) < 0 ? r : qk_goal_bind (g, o);
  memset (g, 0, sizeof *g);
  g->score = qk_objective_first_score (o);
  g->spec = *qk_score_spec (o, g->score);
  snprintf (g->name, sizeof g->name, "%s", qk_score_name (o, g->score));
  g->relative = true;
  g->at_least = g->spec.larger_is_better;
  g->share = !g->spec.percent;
  g->value = g->at_least ? -0.5 : 0.5;
  return 0;
}

/* The float network and its accuracy; how to get its weights again. */
static int
begin (struct tuner *u)
{
  char *path;
  int r;

  if ((r = qk_run_new (u->opt->settings, u->opt->m,
                       QK_RUN_TRAINS | (u->opt->resume ? QK_RUN_RESUME : 0u)
                         | (u->opt->overwrite ? QK_RUN_OVERWRITE : 0u),
                       &u->run))
        < 0
      || (r = take_goal (u)) < 0 || (r = qk_run_go (u->run, QK_PART_TRAIN)) < 0
      || (r = qk_graph_copy (u->run->g, &u->float_g)) < 0
      || (r = qk_data_open (u->opt->settings, QK_DATA_CALIBRATE,
                            &u->run->s.calibrate))
           < 0
      || (r = qk_ini_text (u->opt->settings->ini, &u->text)) < 0)
    return r;
  u->t->float_scores = u->run->result[QK_ROW_FLOAT].scores;
  if (qk_config_int (u->opt->settings->train, "epochs") > 0
      && (u->weights = qk_run_path (u->run, "weights.safetensors")) == NULL)
    return qk_oom ("tune");
  if ((path = qk_run_path (u->run, "tune.jsonl")) == NULL)
    return qk_oom ("tune");
  r = qk_journal_open (u->opt->settings->ctx, path, u->text,
                       u->run->s.objective, u->opt->resume, &u->journal);
  free (path);
  return r;
}

int
qk_tune (const struct qk_tune_options *opt, struct qk_tuning **out)
{
  struct tuner u;
  int i, r;

  memset (&u, 0, sizeof u);
  u.opt = opt;
  if ((u.t = calloc (1, sizeof *u.t)) == NULL)
    return qk_oom ("tune");
  if ((r = begin (&u)) == 0 && (r = search (&u)) == 0
      && (r = write_config (&u)) == 0)
    r = qk_run_finish (u.run);
  for (i = 0; i < u.n_fallback; i++)
    free (u.fallback[i]);
  if (u.run != NULL) { /* the scores' names live on */
    u.t->objective = u.run->s.objective;
    u.run->s.objective = NULL;
  }
  qk_journal_close (u.journal);
  qk_graph_free (u.float_g);
  qk_run_free (u.run);
  free (u.weights);
  free (u.text);
  if (r < 0) {
    qk_tuning_free (u.t);
    return r;
  }
  *out = u.t;
  return 0;
}

void
qk_tuning_free (struct qk_tuning *t)
{
  int i;

  if (t == NULL)
    return;
  for (i = 0; i < t->n; i++)
    clear_trial (&t->trial[i]);
  free (t->trial);
  qk_objective_free (t->objective);
  free (t->config);
  free (t);
}
