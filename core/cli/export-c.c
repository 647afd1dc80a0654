/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* export-c.c: int8 networks as C source. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "model/network.h"

static int
write_folder (struct qk_cli *cli, struct qk_model *m,
              const struct qk_vectors *vectors)
{
  const struct qk_model_info info
    = { m->n_targets, m->target, m->config, m->checksum };
  char options[160], *folder = qk_cli_follow (cli->c_folder);
  int r;

  if (folder == NULL)
    return -ENOENT;
  snprintf (options, sizeof options, "prefix=\"%s\" split=%s float=%s",
            cli->prefix != NULL ? cli->prefix : "network",
            cli->split ? "yes" : "no", cli->no_float ? "no" : "yes");
  r = qk_network_write_files (m->graph, &info, vectors, folder, "csource",
                              options);
  free (folder);
  return r;
}

int
qk_cli_export_c (struct qk_cli *cli)
{
  struct qk_settings *settings = NULL;
  struct qk_model *m = NULL;
  struct qk_vectors vectors = { 0 };
  int r;

  if (cli->n_args != 1)
    return qk_cli_usage (cli, "one model expected with --c, got %d",
                         cli->n_args);
  if (cli->prefix != NULL && strpbrk (cli->prefix, "\" ") != NULL)
    return qk_cli_usage (cli,
                         "--prefix is '%s', expected the begin of a name "
                         "in C",
                         cli->prefix);
  if (cli->selftest > QK_CLI_MOST_VECTORS)
    return qk_cli_usage (cli, "--selftest is %ld, expected 1 to %d",
                         cli->selftest, QK_CLI_MOST_VECTORS);
  if (cli->selftest == 0)
    r = qk_model_load (cli->ctx, cli->arg[0], &m);
  else if ((r = qk_cli_open (cli, cli->arg[0], &settings, &m)) == 0
           && m == NULL)
    r = qk_error (-EINVAL, "%s: is a configuration, expected an int8 model",
                  cli->arg[0]);
  if (r == 0 && cli->selftest > 0)
    r = qk_cli_vectors (settings, m, cli->selftest, &vectors);
  if (r == 0)
    r = write_folder (cli, m, vectors.n > 0 ? &vectors : NULL);
  if (m != NULL)
    qk_vectors_clear (m->graph, &vectors);
  qk_model_free (m);
  qk_settings_free (settings);
  return r < 0 ? qk_cli_fail (cli, r) : QK_EXIT_OK;
}
