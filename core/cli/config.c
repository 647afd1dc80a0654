/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* config.c: finding the configuration and applying the options to it. */
#include "config.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "plugin/loader-priv.h"

#define DEFAULT_STORY "shapes-mobilenet_v2.ini"

/* NAME itself, or NAME in $QATKIT_CONFIG_PATH or the installed folder. */
static int
find_config (const char *name, char **out)
{
  const char *folder = getenv ("QATKIT_CONFIG_PATH");
  char *path = NULL;

  if (folder == NULL || *folder == 0)
    folder = QK_CONFIGDIR;
  if (name != NULL && (strchr (name, '/') != NULL || access (name, F_OK) == 0))
    path = strdup (name);
  else if (asprintf (&path, "%s/%s", folder, name ? name : DEFAULT_STORY) < 0)
    path = NULL;
  if (path == NULL)
    return qk_oom ("cli");
  if (access (path, R_OK) < 0) {
    const int e = -errno;

    if (name != NULL && strchr (name, '/') == NULL)
      qk_error (e,
                "cannot read configuration '%s', neither here nor in '%s': "
                "%s",
                name, folder, strerror (-e));
    else
      qk_error (e, "cannot read configuration '%s': %s", path, strerror (-e));
    free (path);
    return e;
  }
  *out = path;
  return 0;
}

int
qk_cli_apply_options (struct qk_cli *cli, struct qk_ini *ini)
{
  char batches[32];
  int i, r;

  for (i = 0; i < cli->n_override; i++)
    if ((r = qk_ini_override (ini, cli->override[i])) < 0)
      return r;
  if (cli->output != NULL
      && (r = qk_ini_set (ini, "run", "output", cli->output, "--output")) < 0)
    return r;
  if (cli->threads != NULL
      && (r = qk_ini_set (ini, "run", "threads", cli->threads, "--threads"))
           < 0)
    return r;
  if (cli->limit > 0) {
    snprintf (batches, sizeof batches, "%ld", cli->limit);
    r = qk_ini_set (ini, "data", "eval_batches", batches, "--batches");
    if (r < 0)
      return r;
  }
  if (cli->backend != NULL && strchr (cli->backend, ',') == NULL
      && (r = qk_ini_set (ini, "qat", "backend", cli->backend, "--backend"))
           < 0)
    return r;
  return 0;
}

int
qk_cli_ini (struct qk_cli *cli, const char *name, struct qk_ini **out)
{
  struct qk_ini *ini = NULL;
  char *path = NULL;
  int r;

  if (name != NULL && qk_cli_network_of (cli, name) != NULL)
    return qk_cli_network_ini (cli, name, out);
  if ((r = find_config (name, &path)) < 0)
    return r;
  r = qk_ini_read (path, &ini);
  free (path);
  if (r == 0 && cli->data != NULL)
    r = qk_cli_ini_data (cli, ini, name == NULL);
  if (r == 0)
    r = qk_cli_apply_options (cli, ini);
  if (r < 0) {
    qk_ini_free (ini);
    return r;
  }
  *out = ini;
  return 0;
}

int64_t
qk_cli_max_params (const char *path)
{
  struct stat st;

  return stat (path, &st) < 0 ? 1 : 65536 + 8 * (int64_t) st.st_size;
}

static int
give (struct qk_cli *cli, const char *text, size_t len)
{
  char *path = strndup (text, len);
  int r = 0;

  if (path == NULL)
    return qk_oom ("cli");
  if (strchr (path, '/') != NULL)
    r = qk_context_give_path (cli->ctx, path);
  free (path);
  return r;
}

/* Of plugins outside the plugin folders, those named on the command line may
 * be loaded, but none that only the text names. */
static int
trust_options_only (struct qk_cli *cli)
{
  const char *s = cli->backend != NULL ? cli->backend : "";
  int i, r = 0;

  for (i = 0; i < cli->n_override && r == 0; i++) {
    const char *value = strchr (cli->override[i], '=');

    if (value == NULL)
      continue;
    value += 1 + strspn (value + 1, " \t");
    r = give (cli, value, strlen (value));
  }
  for (; *s != 0 && r == 0; s += strcspn (s, ","), s += *s == ',')
    r = give (cli, s, strcspn (s, ","));
  if (r == 0)
    qk_context_only_given (cli->ctx);
  return r;
}

int
qk_cli_ini_text (struct qk_cli *cli, const char *text, const char *path,
                 struct qk_ini **out)
{
  struct qk_ini *ini;
  int r;

  if (text == NULL)
    return qk_error (-EBADMSG, "%s: carries no configuration", path);
  if ((r = trust_options_only (cli)) < 0
      || (r = qk_ini_parse (text, strlen (text), path, &ini)) < 0)
    return r;
  if ((r = qk_run_find_paths (path, ini)) < 0
      || (r = qk_cli_apply_options (cli, ini)) < 0) {
    qk_ini_free (ini);
    return r;
  }
  *out = ini;
  return 0;
}

char *
qk_cli_follow (const char *path)
{
  struct stat st;
  char *out = lstat (path, &st) == 0 && S_ISLNK (st.st_mode)
                ? realpath (path, NULL)
                : strdup (path);

  if (out == NULL)
    qk_error (-errno, "%s: cannot follow the symbolic link: %s", path,
              strerror (errno));
  return out;
}
