/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-tune.c: searches settings that reach an accuracy goal. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void
print_json (const struct qk_tuning *t)
{
  int i, j;

  printf ("{\"float\":{\"top1\":%.9g,\"top5\":%.9g},\n \"trials\":[",
          qk_metrics_top1 (&t->float_metrics),
          qk_metrics_top5 (&t->float_metrics));
  for (i = 0; i < t->n; i++) {
    const struct qk_trial *x = &t->trial[i];

    printf ("%s\n  {\"set\":[", i ? "," : "");
    for (j = 0; j < x->n_set; j++) {
      printf (j ? "," : "");
      qk_cli_json_string (x->set[j]);
    }
    printf ("],\"qat\":%s,\"top1\":%.9g,\"top5\":%.9g,\"bytes\":%lld,"
            "\"weight_bits\":%d,\"float_layers\":%d,\"reached\":%s,"
            "\"remembered\":%s}",
            x->qat ? "true" : "false", x->top1, x->top5, (long long) x->bytes,
            x->weight_bits, x->n_float, x->reached ? "true" : "false",
            x->remembered ? "true" : "false");
  }
  printf ("],\n \"best\":%d,\"reached\":%s}\n", t->best,
          t->trial[t->best].reached ? "true" : "false");
}

static int
print_tuning (struct qk_cli *cli, const struct qk_goal *goal,
              const struct qk_settings *settings, const struct qk_tuning *t)
{
  const struct qk_trial *best = &t->trial[t->best];
  int r;

  if (cli->json) {
    print_json (t);
    return 0;
  }
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
