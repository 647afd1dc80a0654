/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trial.c: one way to quantize, made and judged. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tune/priv.h"

void
qk_trial_clear (struct qk_trial *t)
{
  int i;

  for (i = 0; i < t->n_set; i++)
    free (t->set[i]);
  free (t->set);
  free (t->label);
  memset (t, 0, sizeof *t);
}

/* A setting takes the place of another of the same key. */
int
qk_trial_add (struct qk_trial *t, const char *text)
{
  const size_t key = strcspn (text, "=");
  char **grown;
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
  if ((grown = realloc (t->set, ((size_t) t->n_set + 1) * sizeof *grown))
      == NULL)
    return qk_oom ("tune");
  t->set = grown;
  if ((t->set[t->n_set] = strdup (text)) == NULL)
    return qk_oom ("tune");
  t->n_set++;
  return 0;
}

int
qk_trial_make (struct qk_trial *t, const struct qk_trial *from,
               const char *fmt, ...)
{
  char *text = NULL;
  va_list args;
  int i, r = 0;

  memset (t, 0, sizeof *t);
  t->weight_bits = from != NULL ? from->weight_bits : 0;
  t->n_float = from != NULL ? from->n_float : 0;
  t->qat = from != NULL && from->qat;
  for (i = 0; r == 0 && from != NULL && i < from->n_set; i++)
    r = qk_trial_add (t, from->set[i]);
  if (r == 0 && fmt != NULL) {
    va_start (args, fmt);
    if (vasprintf (&text, fmt, args) < 0)
      r = qk_oom ("tune");
    else {
      r = qk_trial_add (t, text);
      free (text);
    }
    va_end (args);
  }
  if (r < 0)
    qk_trial_clear (t);
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

bool
qk_trial_better (const struct qk_tuning *all, const struct qk_trial *a,
                 const struct qk_trial *b)
{
  const struct qk_goal *g = &all->goal;
  const double x = qk_scores_get (&a->scores, g->score);
  const double y = qk_scores_get (&b->scores, g->score);

  if (a->reached != b->reached)
    return a->reached;
  if (a->reached && all->minimize != NULL
      && (a->cost < b->cost || a->cost > b->cost))
    return a->cost < b->cost;
  if (a->reached && a->n_float != b->n_float)
    return a->n_float < b->n_float;
  if (a->reached && a->weight_bits != b->weight_bits)
    return a->weight_bits < b->weight_bits;
  return g->at_least ? x > y : x < y;
}

/* ---- making one ------------------------------------------------------------ */

int
qk_trial_ini (struct qk_tuner *u, const struct qk_trial *t,
              struct qk_ini **out)
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

int
qk_trial_settings (struct qk_tuner *u, const struct qk_trial *t,
                   const char *output, struct qk_settings **out)
{
  struct qk_ini *ini;
  int r = qk_trial_ini (u, t, &ini);

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
calibrate_trial (struct qk_tuner *u, struct qk_trial *t, const char *label)
{
  struct qk_session s = u->run->s; /* its data and objective, other settings */
  struct qk_graph *int8 = NULL;
  struct qk_result result;
  bool analysis;
  int r;

  if ((r = qk_trial_settings (u, t, NULL, &s.settings)) < 0)
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
train_trial (struct qk_tuner *u, struct qk_trial *t)
{
  struct qk_settings *settings = NULL;
  struct qk_run *run = NULL;
  char *output;
  int r;

  if (asprintf (&output, "%s/trial-%d", u->run->output, u->t->n + 1) < 0)
    return qk_oom ("tune");
  r = qk_trial_settings (u, t, output, &settings);
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

static bool
same_trial (const struct qk_trial *a, const struct qk_trial *b)
{
  if (a->qat != b->qat || a->n_set != b->n_set)
    return false;
  for (int i = 0; i < a->n_set; i++)
    if (strcmp (a->set[i], b->set[i]) != 0)
      return false;
  return true;
}

int
qk_tune_try (struct qk_tuner *u, struct qk_trial *t, bool *reached)
{
  struct qk_tuning *all = u->t;
  struct qk_trial *grown;
  char *text, *label;
  int i, r = 0;

  for (i = 0; i < all->n && !same_trial (&all->trial[i], t); i++)
    ;
  *reached = i < all->n && all->trial[i].reached;
  if (i < all->n || all->n >= u->opt->max_trials) {
    qk_trial_clear (t);
    return 0;
  }
  grown = realloc (all->trial, ((size_t) all->n + 1) * sizeof *grown);
  text = qk_trial_text (t);
  if (grown != NULL)
    all->trial = grown;
  if (grown == NULL || text == NULL
      || asprintf (&label, "trial %d", all->n + 1) < 0) {
    free (text);
    qk_trial_clear (t);
    return qk_oom ("tune");
  }
  if (!qk_journal_find (u->journal, t)) {
    qk_log (u->opt->settings->ctx, QK_LOG_INFO, "%s: %s", label,
            t->label != NULL ? t->label : text);
    r = t->qat ? train_trial (u, t) : calibrate_trial (u, t, label);
    if (r == 0)
      r = qk_journal_add (u->journal, t);
  }
  free (label);
  if (r < 0) {
    qk_error_prefix (r, "%s: ", text);
    free (text);
    qk_trial_clear (t);
    return r;
  }
  free (text);
  t->reached = *reached
    = qk_goal_reached (&all->goal, &all->float_scores, &t->scores);
  all->trial[all->n] = *t;
  if (all->n == 0 || qk_trial_better (all, t, &all->trial[all->best]))
    all->best = all->n;
  all->n++;
  return 0;
}
