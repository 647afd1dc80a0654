/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tune.c: the float network, the search, and what is kept of it. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic-file.h"
#include "tune/priv.h"

/* tuned.ini: what repeats the best trial with "qatkit run": without QAT where
 * that was not needed. */
static int
write_config (struct qk_tuner *u)
{
  const struct qk_trial *best = &u->t->trial[u->t->best];
  char *path = qk_run_path (u->run, "tuned.ini"), *output = NULL;
  char *text = NULL, *whole = NULL, number[32];
  struct qk_ini *ini = NULL;
  int r = -ENOMEM;

  if (path == NULL || asprintf (&output, "%s/tuned", u->run->output) < 0)
    goto end;
  if ((r = qk_trial_ini (u, best, &ini)) < 0
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
take_goal (struct qk_tuner *u)
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

/* What chooses bits needs to know which they are. */
static int
check_bits (const struct qk_tuner *u)
{
  return u->opt->settings->n_phases == 1
           ? 0
           : qk_error (-EINVAL,
                       "[qconfig] has a list of %d numbers of bits, expected "
                       "one number: tune chooses bits itself",
                       u->opt->settings->n_phases);
}

/* The float network and its accuracy; how to get its weights again. */
static int
begin (struct qk_tuner *u)
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
  struct qk_tuner u;
  int r;

  memset (&u, 0, sizeof u);
  u.opt = opt;
  if ((u.t = calloc (1, sizeof *u.t)) == NULL)
    return qk_oom ("tune");
  r = check_bits (&u);
  if (r == 0 && opt->minimize != NULL)
    r = qk_tune_check_bits (&u);
  if (r == 0 && (r = begin (&u)) == 0
      && (r
          = opt->minimize != NULL ? qk_tune_bits (&u) : qk_tune_settings (&u))
           == 0
      && (r = write_config (&u)) == 0)
    r = qk_run_finish (u.run);
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
    qk_trial_clear (&t->trial[i]);
  free (t->trial);
  qk_objective_free (t->objective);
  qk_bits_free (t->bits);
  free (t->config);
  free (t);
}
