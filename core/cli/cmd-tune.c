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

#define DEFAULT_GOAL "top1 >= float - 0.5"
#define DEFAULT_TRIALS 40
#define SAMPLE 64 /* samples that sensitivity is measured on */

static int
print_table (const struct qk_tuning *t)
{
  static const char *const titles[]
    = { "", "top-1 %", "top-5 %", "size MB", "float layers", "settings" };
  struct qk_table *table;
  int i, r = qk_table_new (titles, 6, &table);

  if (r < 0)
    return r;
  for (i = 0; i < t->n; i++) {
    const struct qk_trial *x = &t->trial[i];
    char *text = qk_trial_text (x);

    qk_table_cell (table, "%d%s", i + 1, i == t->best ? " best" : "");
    qk_table_cell (table, "%.2f%s", 100 * x->top1, x->reached ? " *" : "");
    qk_table_cell (table, "%.2f", 100 * x->top5);
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
trial_to_json (const struct qk_trial *x)
{
  json_t *set = json_array ();
  int i;

  for (i = 0; i < x->n_set; i++)
    qk_json_append (&set, qk_json_string (x->set[i]));
  return json_pack ("{s:o,s:b,s:o,s:o,s:I,s:i,s:i,s:b,s:b}", "set", set, "qat",
                    x->qat, "top1", qk_json_real (x->top1), "top5",
                    qk_json_real (x->top5), "bytes", (json_int_t) x->bytes,
                    "weight_bits", x->weight_bits, "float_layers", x->n_float,
                    "reached", x->reached, "remembered", x->remembered);
}

static int
print_json (const struct qk_tuning *t)
{
  json_t *trials = json_array ();
  int i;

  for (i = 0; i < t->n; i++)
    qk_json_append (&trials, trial_to_json (&t->trial[i]));
  return qk_json_print (
    stdout,
    json_pack ("{s:{s:o,s:o},s:o,s:i,s:b}", "float", "top1",
               qk_json_real (qk_metrics_top1 (&t->float_metrics)), "top5",
               qk_json_real (qk_metrics_top5 (&t->float_metrics)), "trials",
               trials, "best", t->best, "reached", t->trial[t->best].reached));
}

static int
print_tuning (struct qk_cli *cli, const struct qk_goal *goal,
              const struct qk_settings *settings, const struct qk_tuning *t)
{
  const struct qk_trial *best = &t->trial[t->best];
  int r;

  if (cli->json)
    return print_json (t);
  if ((r = print_table (t)) < 0)
    return r;
  printf ("float: top-1 %.2f %%, top-5 %.2f %%; goal: %s >= %.2f %%%s\n",
          100 * qk_metrics_top1 (&t->float_metrics),
          100 * qk_metrics_top5 (&t->float_metrics),
          goal->top5 ? "top-5" : "top-1",
          qk_goal_threshold (goal, &t->float_metrics),
          best->reached ? " (* reached)" : ", not reached by any trial");
  printf ("trial %d again: qatkit run %s/tuned.ini\n", t->best + 1,
          qk_config_string (settings->run, "output"));
  return 0;
}

int
qk_cmd_tune (struct qk_cli *cli)
{
  struct qk_tune_options opt
    = { .m = &cli->monitor, .resume = cli->resume, .samples = SAMPLE };
  struct qk_tuning *t = NULL;
  struct qk_ini *ini;
  int r, status;

  if (cli->n_args != 1)
    return qk_cli_usage (cli, "expected one configuration file");
  if (qk_goal_parse (cli->goal ? cli->goal : DEFAULT_GOAL, &opt.goal) < 0)
    return qk_cli_usage (cli, "%s", qk_error_message ());
  opt.max_trials = cli->trials > 0 ? (int) cli->trials : DEFAULT_TRIALS;
  if ((r = qk_cli_ini (cli, cli->arg[0], &ini)) < 0
      || (r = qk_settings_new (cli->ctx, ini, &opt.settings)) < 0)
    return qk_cli_fail (cli, r);
  if ((r = qk_tune (&opt, &t)) == 0)
    r = print_tuning (cli, &opt.goal, opt.settings, t);
  status = r < 0                       ? qk_cli_fail (cli, r)
           : t->trial[t->best].reached ? QK_EXIT_OK
                                       : QK_EXIT_FAILURE;
  qk_tuning_free (t);
  qk_settings_free (opt.settings);
  return status;
}
