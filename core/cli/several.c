/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* several.c: commands that mpirun or the like starts several times. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memtext.h"
#include "cli/cli.h"
#include "comm/comm.h"
#include "plugin/loader-priv.h"

/* Keys that may differ between processes: they change no result, or say which
 * of the processes this is. */
static bool
is_own (const char *section, const char *key)
{
  return strncmp (section, "comm ", 5) == 0
         || (strcmp (section, "run") == 0 && strcmp (key, "threads") == 0)
         || (strcmp (section, "data") == 0 && strcmp (key, "workers") == 0);
}

/* What all processes must have been told, a line each; for free. */
static int
describe (const struct qk_cli *cli, const struct qk_ini *ini, char **out,
          size_t *size)
{
  FILE *f = open_memstream (out, size);
  size_t i, j;

  if (f == NULL)
    return qk_oom ("settings");
  fprintf (f, "qatkit %s%s%s\n", cli->command, cli->resume ? " --resume" : "",
           cli->overwrite ? " --overwrite" : "");
  for (i = 0; i < qk_ini_sections (ini); i++)
    for (j = 0; j < qk_ini_keys (ini, i); j++) {
      const struct qk_ini_key k = qk_ini_key (ini, i, j);

      if (!is_own (qk_ini_section (ini, i), k.key))
        fprintf (f, "[%s] %s = %s\n", qk_ini_section (ini, i), k.key, k.value);
    }
  return qk_close_text (f, out) ? 0 : qk_oom ("settings");
}

int
qk_cli_join (struct qk_cli *cli, struct qk_settings *settings)
{
  char *text = NULL;
  size_t size = 0;
  int r;

  if ((r = qk_settings_join (settings)) < 0)
    return r;
  cli->monitor.comm = settings->comm;
  if (qk_comm_rank (settings->comm) > 0) { /* the first process tells all */
    cli->quiet = true;
    qk_progress_free (cli->monitor.progress);
    cli->monitor.progress = NULL;
  }
  if ((r = describe (cli, settings->ini, &text, &size)) == 0)
    r = qk_comm_check_text (settings->comm, "settings", text, size);
  free (text);
  return r;
}

void
qk_cli_leave (struct qk_cli *cli, struct qk_settings *settings, int r)
{
  if (r < 0 && r != -EINTR && settings != NULL)
    qk_comm_abort (settings->comm);
  cli->monitor.comm = NULL;
  qk_settings_free (settings);
}

/* It joins only to learn its number: the others need not wait. */
int
qk_cli_is_first (struct qk_cli *cli, bool *first)
{
  struct qk_config *cfg = NULL;
  struct qk_comm *comm = NULL;
  const struct qk_class *c;
  int r = qk_context_default (cli->ctx, QK_KIND_COMM, 0, &c);

  *first = true;
  if (r < 0) /* no comm plugin at all: alone */
    return r == -ENOENT ? 0 : r;
  if ((r = qk_context_options (cli->ctx, c, &cfg)) < 0)
    return r;
  r = qk_comm_open ((const struct qk_comm_class *) (const void *) c, cfg,
                    &comm);
  qk_config_free (cfg);
  if (r < 0)
    return r;
  *first = qk_comm_rank (comm) == 0;
  qk_comm_close (comm);
  return 0;
}
