/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* carried.c: the configuration as files carry it that may travel.
 *
 * The same run in another folder writes the same bytes, so none of them names
 * the folder.  A model also keeps quiet about where its maker's files lie: of
 * a path that begins with '/' or '~' the last name is left.  The run's folder
 * has the whole in config.ini, from which a model that still lies there learns
 * its paths again. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/atomic-file.h"
#include "base/suffix.h"
#include "base/utf8.h"
#include "run/run.h"

#define WHOLE "config.ini"

/* What is left of VALUE in a model; the same pointer where all is. */
static const char *
cut (const char *value)
{
  const char *slash = strrchr (value, '/');

  if ((value[0] != '/' && value[0] != '~') || slash == NULL
      || qk_has_suffix (value, ".so"))
    return value;
  return slash + 1;
}

static bool
is_utf8 (const char *s)
{
  uint32_t c;
  size_t n;

  while (*s != 0) {
    if ((n = qk_utf8_decode (s, &c)) == 0)
      return false;
    s += n;
  }
  return true;
}

/* What INI has of CARRIED must be text, else no file could be written: said
 * before there is one to write. */
static int
check_text (const struct qk_ini *ini, const struct qk_ini *carried)
{
  size_t i, j;

  for (i = 0; i < qk_ini_sections (ini); i++)
    for (j = 0; j < qk_ini_keys (ini, i); j++) {
      const struct qk_ini_key k = qk_ini_key (ini, i, j);
      const char *section = qk_ini_section (ini, i);

      if (qk_ini_get (carried, section, k.key) != NULL && !is_utf8 (k.value))
        return qk_error (-EINVAL,
                         "%s: [%s] %s: is not UTF-8, in which models and "
                         "checkpoints keep it; expected another name, such "
                         "as that of a symbolic link",
                         k.where, section, k.key);
    }
  return 0;
}

bool
qk_run_is_search (const char *section)
{
  return strcmp (section, "tune") == 0 || strncmp (section, "solver ", 7) == 0;
}

/* Take those sections out of INI; the last key of a section takes it along. */
static void
drop_search (struct qk_ini *ini)
{
  size_t i = 0;

  while (i < qk_ini_sections (ini))
    if (qk_run_is_search (qk_ini_section (ini, i)) && qk_ini_keys (ini, i) > 0)
      qk_ini_unset (ini, qk_ini_section (ini, i), qk_ini_key (ini, i, 0).key);
    else
      i++;
}

/* A copy of INI without what says where and when the run is kept, and how other
 * networks are searched for; to be freed. */
static int
copy_without_folder (const struct qk_ini *ini, struct qk_ini **out)
{
  char *text;
  int r = qk_ini_text (ini, &text);

  if (r < 0)
    return r;
  r = qk_ini_parse (text, strlen (text), "configuration", out);
  free (text);
  if (r < 0)
    return r;
  qk_ini_unset (*out, "run", "output");
  qk_ini_unset (*out, "run", "max_minutes");
  qk_ini_unset (*out, "checkpoint", "minutes");
  qk_ini_unset (*out, "checkpoint", "batches");
  drop_search (*out);
  return 0;
}

int
qk_run_config_text (const struct qk_ini *ini, bool model, char **out)
{
  struct qk_ini *copy;
  size_t i, j;
  int r = copy_without_folder (ini, &copy);

  if (r < 0)
    return r;
  r = check_text (ini, copy);
  for (i = 0; model && i < qk_ini_sections (copy); i++)
    for (j = 0; r == 0 && j < qk_ini_keys (copy, i); j++) {
      const struct qk_ini_key k = qk_ini_key (copy, i, j);
      char *left = cut (k.value) != k.value ? strdup (cut (k.value)) : NULL;

      if (left != NULL)
        r = qk_ini_set (copy, qk_ini_section (copy, i), k.key, left,
                        "carried");
      free (left);
    }
  if (r == 0)
    r = qk_ini_text (copy, out);
  qk_ini_free (copy);
  return r;
}

int
qk_run_write_config (struct qk_run *run)
{
  char *path = qk_run_path (run, WHOLE), *text = NULL;
  int r = path == NULL ? qk_oom ("run")
                       : qk_ini_text (run->s.settings->ini, &text);

  if (r == 0)
    r = qk_atomic_write_data (path, text, strlen (text));
  free (text);
  free (path);
  return r;
}

int
qk_run_find_paths (const char *model, struct qk_ini *ini)
{
  const char *slash = strrchr (model, '/');
  struct qk_ini *whole = NULL;
  struct stat st;
  char *path;
  size_t i, j;
  int r = 0;

  if (asprintf (&path, "%.*s" WHOLE, slash ? (int) (slash + 1 - model) : 0,
                model)
      < 0)
    return qk_oom ("%s", model);
  /* else it is somebody's other file of that name */
  if (stat (path, &st) == 0 && S_ISREG (st.st_mode)
      && qk_ini_read (path, &whole) < 0)
    whole = NULL;
  for (i = 0; whole != NULL && i < qk_ini_sections (ini); i++)
    for (j = 0; r == 0 && j < qk_ini_keys (ini, i); j++) {
      const struct qk_ini_key k = qk_ini_key (ini, i, j);
      const char *section = qk_ini_section (ini, i);
      const char *is = qk_ini_get (whole, section, k.key);

      if (is != NULL && cut (is) != is && strcmp (cut (is), k.value) == 0)
        r = qk_ini_set (ini, section, k.key, is, path);
    }
  qk_ini_free (whole);
  free (path);
  return r;
}
