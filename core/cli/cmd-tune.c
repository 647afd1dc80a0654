/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-tune.c: searches settings that reach an accuracy goal. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "tune/tune.h"
#include "report/table.h"

#define DEFAULT_TRIALS 40
#define SAMPLE 64 /* samples that sensitivity is measured on */

static int
print_table (const struct qk_tuning *t)
{
  const struct qk_objective *o = t->objective;
  const char *titles[QK_MAX_SCORES + 5];
  struct qk_table *table;
  char score[32];
  int columns, i, j, r;

  titles[0] = "";
  columns = 1 + qk_score_titles (o, titles + 1);
  titles[columns++] = "size MB";
  titles[columns++] = "float layers";
  titles[columns++] = "settings";
  if ((r = qk_table_new (titles, columns, &table)) < 0)
    return r;
  for (i = 0; i < t->n; i++) {
    const struct qk_trial *x = &t->trial[i];
    char *text = qk_trial_text (x);

    qk_table_cell (table, "%d%s", i + 1, i == t->best ? " best" : "");
    for (j = 0; j < o->n_scores; j++)
      if (o->score[j].title != NULL)
        qk_table_cell (table, "%s%s",
                       qk_score_print (&o->score[j].spec, x->scores.value[j],
                                       score, sizeof score),
                       j == t->goal.score && x->reached ? " *" : "");
    if (o->n_scores == 0)
      qk_table_cell (table, "%.4f%s", x->scores.loss, x->reached ? " *" : "");
    qk_table_cell (table, "%.2f", (double) x->bytes / 1e6);
    qk_table_cell (table, "%d", x->n_float);
    qk_table_cell (table, "%s", text != NULL ? text : "");
    free (text);
  }
  r = qk_table_print (table, stdout);
  qk_table_free (table);
  return r;
}

static json_t *
scores_to_json (const struct qk_objective *o, const struct qk_scores *s)
{
  json_t *e = json_object ();
  int i;

  for (i = 0; i < o->n_scores; i++)
    qk_json_set (&e, o->score[i].name, qk_json_real (s->value[i]));
  qk_json_set (&e, "loss", qk_json_real (s->loss));
  return e;
}

static json_t *
trial_to_json (const struct qk_objective *o, const struct qk_trial *x)
{
  json_t *set = json_array ();
  int i;

  for (i = 0; i < x->n_set; i++)
    qk_json_append (&set, qk_json_string (x->set[i]));
  return json_pack ("{s:o,s:b,s:o,s:I,s:i,s:i,s:b,s:b}", "set", set, "qat",
                    x->qat, "scores", scores_to_json (o, &x->scores), "bytes",
                    (json_int_t) x->bytes, "weight_bits", x->weight_bits,
                    "float_layers", x->n_float, "reached", x->reached,
                    "remembered", x->remembered);
}

static int
print_json (const struct qk_tuning *t)
{
  json_t *trials = json_array ();
  int i;

  for (i = 0; i < t->n; i++)
    qk_json_append (&trials, trial_to_json (t->objective, &t->trial[i]));
  return qk_json_print (
    stdout,
    json_pack ("{s:o,s:{s:o,s:o},s:o,s:i,s:b}", "float",
               scores_to_json (t->objective, &t->float_scores), "goal",
               "score", qk_json_string (t->goal.name), "threshold",
               qk_json_real (qk_goal_threshold (&t->goal, &t->float_scores)),
               "trials", trials, "best", t->best, "reached",
               t->trial[t->best].reached));
}

static int
print_tuning (struct qk_cli *cli, const struct qk_settings *settings,
              const struct qk_tuning *t)
{
  const struct qk_trial *best = &t->trial[t->best];
  const char *unit = t->goal.spec.percent ? " %" : "";
  char have[32];
  int r;

  if (cli->json)
    return print_json (t);
  if ((r = print_table (t)) < 0)
    return r;
  qk_score_print (&t->goal.spec,
                  qk_scores_get (&t->float_scores, t->goal.score), have,
                  sizeof have);
  printf ("float: %s %s%s; goal: %s %s %.*f%s%s\n", t->goal.name, have, unit,
          t->goal.name, t->goal.at_least ? ">=" : "<=", t->goal.spec.digits,
          qk_goal_threshold (&t->goal, &t->float_scores), unit,
          best->reached ? " (* reached)" : ", not reached by any trial");
  printf ("trial %d again: qatkit run %s/tuned.ini\n", t->best + 1,
          qk_config_string (settings->run, "output"));
  return 0;
}

int
qk_cmd_tune (struct qk_cli *cli)
{
  struct qk_tune_options opt = { .m = &cli->monitor,
                                 .resume = cli->resume,
                                 .overwrite = cli->overwrite,
                                 .samples = SAMPLE };
  struct qk_goal parsed;
  struct qk_tuning *t = NULL;
  struct qk_ini *ini;
  int r, status;

  if (cli->n_args != 1)
    return qk_cli_usage (cli, "expected one configuration file");
  if (cli->goal != NULL && qk_goal_parse (cli->goal, &parsed) < 0)
    return qk_cli_usage (cli, "%s", qk_error_message ());
  opt.goal = cli->goal;
  opt.max_trials = cli->trials > 0 ? (int) cli->trials : DEFAULT_TRIALS;
  if ((r = qk_cli_ini (cli, cli->arg[0], &ini)) < 0
      || (r = qk_settings_new (cli->ctx, ini, &opt.settings)) < 0)
    return qk_cli_fail (cli, r);
  if ((r = qk_tune (&opt, &t)) == 0)
    r = print_tuning (cli, opt.settings, t);
  status = r < 0                       ? qk_cli_fail (cli, r)
           : t->trial[t->best].reached ? QK_EXIT_OK
                                       : QK_EXIT_FAILURE;
  qk_tuning_free (t);
  qk_settings_free (opt.settings);
  return status;
}
