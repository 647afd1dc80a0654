/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tables.c: the tables that metrics have of a network, in a file of the run's
 * folder. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/atomic-file.h"
#include "run/run.h"
#include "train/tables.h"

static int
write_tables (const struct qk_run *run, const char *file)
{
  json_t *j = qk_tables_to_json (run->s.objective, &run->evaluated);
  char *text = qk_json_text (j, JSON_COMPACT), *path = qk_run_path (run, file);
  int r;

  json_decref (j);
  r = text == NULL || path == NULL
        ? qk_oom ("%s", file)
        : qk_atomic_write_data (path, text, strlen (text));
  free (text);
  free (path);
  return r;
}

int
qk_run_save_tables (struct qk_run *run, const char *file)
{
  if (!qk_tables_any (run->s.objective))
    return 0;
  return qk_run_written (run,
                         qk_run_writes (run) ? write_tables (run, file) : 0);
}
