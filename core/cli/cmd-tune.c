/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-tune.c: searches settings that reach an accuracy goal. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "pages/html.h"
#include "report/table.h"
#include "tune/tune.h"

#define DEFAULT_TRIALS 40

/* The column of what is minimized; NULL where the bytes tell it. */
static const char *
cost_title (const struct qk_tuning *t)
{
  if (t->bits == NULL || t->bits->kind == QK_COST_BYTES)
    return NULL;
  return t->bits->kind == QK_COST_LATENCY ? "ms" : "bitops G";
}

static int
print_table (const struct qk_tuning *t)
{
  const struct qk_objective *o = t->objective;
  const char *titles[QK_MAX_SCORES + 6], *cost = cost_title (t);
  struct qk_table *table;
  char score[32];
  int columns, i, j, r;

  titles[0] = "";
  columns = 1 + qk_score_titles (o, titles + 1);
  titles[columns++] = "size MB";
  if (cost != NULL)
    titles[columns++] = cost;
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
    if (cost != NULL)
      qk_table_cell (table, "%.3f",
                     x->cost
                       * (t->bits->kind == QK_COST_LATENCY ? 1e3 : 1e-9));
    qk_table_cell (table, "%d", x->n_float);
    if (x->label != NULL)
      qk_table_cell (table, "%s%s", x->qat ? "qat, " : "", x->label);
    else
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
  return json_pack (
    "{s:o,s:b,s:o,s:I,s:i,s:i,s:b,s:b,s:o,s:o}", "set", set, "qat", x->qat,
    "scores", scores_to_json (o, &x->scores), "bytes", (json_int_t) x->bytes,
    "weight_bits", x->weight_bits, "float_layers", x->n_float, "reached",
    x->reached, "remembered", x->remembered, "cost",
    x->label != NULL ? qk_json_real (x->cost) : json_null (), "label",
    x->label != NULL ? qk_json_string (x->label) : json_null ());
}

/* The goal, and what was reached; where bits were searched also what layers
 * cost and lose. */
static json_t *
tuning_to_json (const struct qk_tuning *t)
{
  json_t *trials = json_array ();
  int i;

  for (i = 0; i < t->n; i++)
    qk_json_append (&trials, trial_to_json (t->objective, &t->trial[i]));
  return json_pack (
    "{s:o,s:{s:o,s:o,s:b},s:o,s:i,s:b,s:o,s:o}", "float",
    scores_to_json (t->objective, &t->float_scores), "goal", "score",
    qk_json_string (t->goal.name), "threshold",
    qk_json_real (qk_goal_threshold (&t->goal, &t->float_scores)), "percent",
    t->goal.spec.percent, "trials", trials, "best", t->best, "reached",
    t->trial[t->best].reached, "minimize",
    t->minimize != NULL ? qk_json_string (t->minimize) : json_null (),
    "layers", t->bits != NULL ? qk_bits_to_json (t->bits) : json_array ());
}

/* Write tuning.html into the output folder; nothing without Chart.js. */
static int
write_page (struct qk_cli *cli, const struct qk_settings *settings,
            const struct qk_tuning *t)
{
  const char *output = qk_config_string (settings->run, "output");
  json_t *j = tuning_to_json (t);
  char *text = qk_json_text (j, JSON_REAL_PRECISION (9)), *path = NULL;
  int r = 0;

  json_decref (j);
  if (text == NULL || asprintf (&path, "%s/tuning.html", output) < 0)
    r = qk_oom ("tune");
  else if (qk_html_possible ()
           && (r = qk_html_write (QK_PAGE_TUNING, text, path)) == 0)
    qk_log (cli->ctx, QK_LOG_INFO, "report in '%s'", path);
  free (text);
  free (path);
  return r;
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
    return qk_json_print (stdout, tuning_to_json (t));
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
                                 .overwrite = cli->overwrite };
  struct qk_goal parsed;
  struct qk_tuning *t = NULL;
  struct qk_ini *ini;
  int r, status;

  if (cli->n_args != 1)
    return qk_cli_usage (cli, "expected one configuration file");
  if (cli->goal != NULL && qk_goal_parse (cli->goal, &parsed) < 0)
    return qk_cli_usage (cli, "%s", qk_error_message ());
  opt.goal = cli->goal;
  opt.minimize = cli->minimize;
  opt.max_trials = cli->trials > 0 ? (int) cli->trials : DEFAULT_TRIALS;
  if ((r = qk_cli_ini (cli, cli->arg[0], &ini)) < 0
      || (r = qk_settings_new (cli->ctx, ini, &opt.settings)) < 0)
    return qk_cli_fail (cli, r);
  if ((r = qk_tune (&opt, &t)) == 0
      && (r = write_page (cli, opt.settings, t)) == 0)
    r = print_tuning (cli, opt.settings, t);
  status = r < 0                       ? qk_cli_fail (cli, r)
           : t->trial[t->best].reached ? QK_EXIT_OK
                                       : QK_EXIT_FAILURE;
  qk_tuning_free (t);
  qk_settings_free (opt.settings);
  return status;
}
