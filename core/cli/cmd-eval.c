/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-eval.c: eval: the metrics of a network. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/outputs.h"
#include "data/list.h"
#include "train/tables.h"

/* The float network, fused; every key of the configuration is checked. */
static int
float_network (struct qk_run *run, struct qk_graph **out)
{
  struct qk_graph *g;
  int r;

  if ((r = qk_cli_float (run->s.settings, &run->s.eval->info, &g)) < 0)
    return r;
  r = qk_pass_fuse (g, out);
  qk_graph_free (g);
  return r;
}

/* All processes must have the same samples. */
static int
check_samples (struct qk_cli *cli, const struct qk_data *d)
{
  char *text = NULL;
  size_t size;
  int r;

  if (qk_comm_size (cli->monitor.comm) == 1)
    return 0;
  r = qk_samples_list (d->cls, d->self, &d->info, true, &text, &size);
  if (r == 0)
    r = qk_comm_check_text (cli->monitor.comm, "val samples", text, size);
  free (text);
  return r;
}

/* … and the same network. */
static int
check_network (struct qk_run *run, const struct qk_model *model)
{
  return model == NULL
           ? qk_run_check_network (run)
           : qk_comm_check_same (run->s.m->comm, "the int8 model",
                                 model->checksum, sizeof model->checksum);
}

/* Let the evaluations of S leave the network's outputs in O, if the command line
 * asks for them. */
static int
save_outputs (struct qk_cli *cli, struct qk_cli_outputs *o,
              struct qk_session *s)
{
  const struct qk_format_class *cls;
  int r;

  if (cli->save_outputs == NULL)
    return 0;
  /* sooner than after the last sample */
  if ((r = qk_format_find (cli->ctx, cli->save_outputs, NULL, &cls)) < 0)
    return r;
  if (qk_comm_size (cli->monitor.comm) > 1)
    return qk_error (-ENOTSUP,
                     "--save-outputs: each of %d processes has some "
                     "of the samples, expected one process",
                     qk_comm_size (cli->monitor.comm));
  s->take = qk_cli_outputs_add;
  s->cookie = o;
  return 0;
}

int
qk_cmd_eval (struct qk_cli *cli)
{
  struct qk_graph *g = NULL;
  struct qk_model *model = NULL;
  struct qk_settings *settings = NULL;
  struct qk_cli_outputs saved = { 0 };
  struct qk_run run;
  enum qk_row row;
  int r, status;

  if (cli->n_args != 1)
    return qk_cli_usage (cli, "one configuration or model expected, got %d",
                         cli->n_args);
  memset (&run, 0, sizeof run);
  run.best_epoch = -1;
  run.s.m = &cli->monitor;
  run.s.tally = &run.evaluated;
  if ((r = qk_cli_open (cli, cli->arg[0], &settings, &model)) < 0)
    goto end;
  run.s.settings = settings;
  if ((r = qk_cli_join (cli, settings)) < 0
      || (r = qk_data_open (settings, QK_DATA_EVAL, &run.s.eval)) < 0
      || (r = check_samples (cli, run.s.eval)) < 0)
    goto end;
  r = model == NULL ? float_network (&run, &g)
                    : qk_cli_check_keys (settings, &run.s.eval->info);
  run.g = g;
  if (r == 0)
    r = check_network (&run, model);
  if (r == 0 && model != NULL)
    r = qk_data_match (run.s.eval, model->target, model->n_targets);
  if (r < 0)
    goto end;
  row = model != NULL ? QK_ROW_INT8 : QK_ROW_FLOAT;
  saved.g = model != NULL ? model->graph : g;
  r = save_outputs (cli, &saved, &run.s);
  if (r == 0)
    r = qk_settings_objective (settings, model != NULL ? model->graph : g,
                               &run.s.eval->info, &run.s.objective);
  if (r == 0 && cli->tables && !qk_tables_any (run.s.objective))
    r = qk_error (-EINVAL, "--per-class: no metric of [metric] has a table; "
                           "see qatkit-metric(3)");
  if (r < 0)
    goto end;
  r = qk_session_evaluate (&run.s, model != NULL ? model->graph : g,
                           model != NULL ? "int8" : "float", -1,
                           &run.result[row]);
  if (r == 0 && cli->save_outputs != NULL
      && (r = qk_cli_outputs_end (&saved)) == 0)
    r = qk_cli_outputs_write (cli, &saved, cli->save_outputs);
  if (r == 0 && qk_run_writes (&run))
    r = qk_cli_print_results (cli, &run);
end:
  status = r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
  qk_cli_outputs_clear (&saved);
  qk_session_clear (&run.s);
  qk_tally_clear (&run.evaluated);
  qk_graph_free (g);
  qk_model_free (model);
  qk_cli_leave (cli, settings, r);
  return status;
}
