/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmd-convert.c: the int8 network of a checkpoint, as a stage of its own. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/suffix.h"
#include "cli/cli.h"
#include "run/coverage.h"

#define MODEL "model-int8.safetensors"

/* The folder of a run: the argument itself, or the one a configuration
 * writes to.  To be freed. */
static int
find_folder (struct qk_cli *cli, char **out)
{
  const char *arg = cli->arg[0], *folder = arg;
  struct qk_settings *settings = NULL;
  struct qk_model *none;
  struct stat st;
  int r = 0;

  if (qk_has_suffix (arg, ".ini")) {
    if ((r = qk_cli_open (cli, arg, &settings, &none)) < 0)
      goto end;
    folder = qk_config_string (settings->run, "output");
  }
  if (stat (folder, &st) < 0)
    r = qk_error (-errno, "cannot find '%s': %s", folder, strerror (errno));
  else if (!S_ISDIR (st.st_mode))
    r = qk_error (-ENOTDIR,
                  "'%s' is neither a folder nor a configuration "
                  "(.ini)",
                  folder);
  else if ((*out = strdup (folder)) == NULL)
    r = qk_oom ("convert");
end:
  qk_settings_free (settings);
  return r;
}

/* The newest sound checkpoint below DIR, which is only there while a run has
 * not found its best epoch. */
static int
open_newest (struct qk_cli *cli, const char *dir, struct qk_checkpoint **out)
{
  struct qk_checkpoints *all;
  struct stat st;
  int r;

  if (stat (dir, &st) < 0)
    return -ENOENT; /* do not let the next call make it */
  if ((r = qk_checkpoints_open (cli->ctx, dir, 1, &all)) < 0)
    return r;
  r = qk_checkpoints_newest (all, out);
  qk_checkpoints_close (all);
  return r;
}

static int
open_checkpoint (struct qk_cli *cli, const struct qk_run *run,
                 struct qk_checkpoint **out)
{
  char *best = qk_run_path (run, "best.safetensors");
  char *dir = qk_run_path (run, "checkpoints");
  int r;

  if (best == NULL || dir == NULL)
    r = qk_oom ("convert");
  else if ((r = qk_run_open_best (cli->ctx, best, out)) != -ENOENT)
    ;
  else if ((r = open_newest (cli, dir, out)) == -ENOENT)
    r = qk_error (-ENOENT, "'%s' has no best.safetensors and no checkpoint",
                  run->output);
  free (best);
  free (dir);
  return r;
}

int
qk_cmd_convert (struct qk_cli *cli)
{
  struct qk_checkpoint *c = NULL;
  struct qk_graph *int8 = NULL;
  struct qk_run run;
  int r;

  if (cli->n_args != 1)
    return qk_cli_usage (cli, "one configuration or folder expected, got %d",
                         cli->n_args);
  memset (&run, 0, sizeof run);
  if ((r = find_folder (cli, &run.output)) < 0
      || (r = qk_folder_open (cli->ctx, run.output, &run.folder)) < 0
      || (r = open_checkpoint (cli, &run, &c)) < 0
      || (r = qk_cli_restore (cli, c, &run)) < 0
      || (r
          = qk_run_config_text (run.s.settings->ini, true, &run.model_config))
           < 0
      || (r = qk_pass_convert (run.g, &int8)) < 0)
    goto end;
  qk_coverage_raised (run.g, "convert");
  if ((r = qk_run_save_model (&run, int8, MODEL)) == 0)
    qk_log (cli->ctx, QK_LOG_INFO, "%s/" MODEL " written from %s", run.output,
            qk_checkpoint_path (c));
end:
  r = r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
  qk_graph_free (int8);
  qk_checkpoint_close (c);
  qk_cli_close_run (&run);
  return r;
}
