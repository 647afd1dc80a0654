/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* network.c: what a command's argument names: an int8 model, the float
 * network of a configuration, the network of a checkpoint. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/suffix.h"
#include "cli/cli.h"

int
qk_cli_open (struct qk_cli *cli, const char *file,
             struct qk_settings **settings, struct qk_model **model)
{
  struct qk_ini *ini;
  int r;

  *model = NULL;
  if (qk_has_suffix (file, ".ini") || qk_cli_network_of (cli, file) != NULL) {
    if ((r = qk_cli_ini (cli, file, &ini)) < 0)
      return r;
    return qk_settings_new (cli->ctx, ini, settings);
  }
  if ((r = qk_model_load (cli->ctx, file, model)) < 0)
    return r;
  if ((r = qk_cli_ini_text (cli, (*model)->config, file, &ini)) < 0
      || (r = qk_settings_new (cli->ctx, ini, settings)) < 0)
    return r;
  (*settings)->max_params = qk_cli_max_params (file);
  return 0;
}

int
qk_cli_float (struct qk_settings *settings, const struct qk_dataset_info *info,
              struct qk_graph **out)
{
  struct qk_graph *g;
  int r;

  if ((r = qk_settings_build (settings, info, QK_WEIGHTS_ALL, &g)) < 0)
    return r;
  if ((r = qk_settings_check (settings, g, info)) == 0)
    *out = g;
  else
    qk_graph_free (g);
  return r;
}

int
qk_cli_check_keys (struct qk_settings *settings,
                   const struct qk_dataset_info *info)
{
  struct qk_graph *g;
  int r;

  /* a model stands for itself: the file its network came from may be gone,
   * and is nobody's to open */
  if (settings->model_class->suffixes != NULL)
    return 0;
  if ((r = qk_settings_build (settings, info, QK_WEIGHTS_NONE, &g)) < 0)
    return r;
  r = qk_settings_check (settings, g, info);
  qk_graph_free (g);
  return r;
}

/* Before the restored arrays are asked for, which a checkpoint of float
 * training does not have. */
static int
check_stage (const struct qk_checkpoint *c)
{
  int64_t stage;
  int r;

  if ((r = qk_checkpoint_run_stage (c, &stage)) < 0)
    return r;
  if (stage == QK_RUN_FLOAT)
    return qk_error (-EINVAL,
                     "%s: holds a float network, from before "
                     "quantization-aware training",
                     qk_checkpoint_path (c));
  return 0;
}

/* The checkpoint's configuration with its own backend, which decided how the
 * network is quantized; --backend only says who runs it. */
static int
trained_config (struct qk_cli *cli, const struct qk_checkpoint *c,
                struct qk_ini **ini)
{
  const char *backend = cli->backend;
  int r;

  cli->backend = NULL;
  r = qk_cli_ini_text (cli, qk_checkpoint_text (c, "qatkit.config"),
                       qk_checkpoint_path (c), ini);
  cli->backend = backend;
  return r;
}

int
qk_cli_restore (struct qk_cli *cli, const struct qk_checkpoint *c,
                struct qk_run *run)
{
  struct qk_graph *g = NULL;
  struct qk_ini *ini;
  int phase, r;

  run->s.m = &cli->monitor;
  if ((r = trained_config (cli, c, &ini)) < 0
      || (r = qk_settings_new (cli->ctx, ini, &run->s.settings)) < 0)
    return r;
  run->s.settings->max_params = qk_cli_max_params (qk_checkpoint_path (c));
  if ((r = qk_data_open (run->s.settings, QK_DATA_EVAL, &run->s.eval)) < 0
      || (r = qk_settings_build (run->s.settings, &run->s.eval->info,
                                 QK_WEIGHTS_NONE, &g))
           < 0)
    return r;
  if ((r = qk_settings_check (run->s.settings, g, &run->s.eval->info)) == 0
      && (r = check_stage (c)) == 0
      && (r = qk_checkpoint_run_phase (c, run->s.settings, &phase)) == 0)
    r = qk_settings_prepare_phase (run->s.settings, g, phase, &run->g);
  qk_graph_free (g);
  return r < 0 ? r : qk_restore_network (run->g, NULL, c);
}

void
qk_cli_close_run (struct qk_run *run)
{
  qk_graph_free (run->g);
  qk_data_close (run->s.eval);
  qk_settings_free (run->s.settings);
  qk_folder_close (run->folder);
  free (run->output);
  free (run->config);
  free (run->model_config);
}
