/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* patterns.c: options that are lists of shell patterns. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "options/ini.h"
#include "options/patterns.h"

int
qk_patterns_parse (const char *list, const char *where,
                   struct qk_patterns *out)
{
  char *word, *save = NULL;

  memset (out, 0, sizeof *out);
  if ((out->text = strdup (list)) == NULL)
    return qk_oom ("patterns");
  for (word = strtok_r (out->text, ", \t", &save); word != NULL;
       word = strtok_r (NULL, ", \t", &save)) {
    if (out->n == QK_MAX_PATTERNS) {
      qk_patterns_clear (out);
      return qk_error (-EINVAL, "%s: more than %d patterns", where,
                       QK_MAX_PATTERNS);
    }
    out->pattern[out->n++] = word;
  }
  return 0;
}

void
qk_patterns_clear (struct qk_patterns *p)
{
  free (p->text);
  memset (p, 0, sizeof *p);
}

bool
qk_patterns_match (struct qk_patterns *p, const char *name)
{
  bool any = false;

  for (int i = 0; i < p->n; i++)
    if (qk_glob_match (p->pattern[i], name))
      any = p->used[i] = true;
  return any;
}

const char *
qk_patterns_idle (const struct qk_patterns *p)
{
  for (int i = 0; i < p->n; i++)
    if (!p->used[i])
      return p->pattern[i];
  return NULL;
}
