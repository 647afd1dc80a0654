/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* intlist.c: options that are lists of integers, "0,2,-1". */
#include "config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "intlist.h"

/* The integer at *S, which moves to what ends it; false if there is none. */
static bool
read_one (const char **s, int64_t *out)
{
  const char *at = *s;
  char *end;

  if (!isdigit ((unsigned char) at[*at == '-' || *at == '+']))
    return false;
  errno = 0;
  *out = (int64_t) strtoimax (at, &end, 10);
  *s = end;
  return errno == 0 && (*end == ',' || *end == '\0');
}

int
intlist_new (const char *who, const struct qk_config *cfg, const char *option,
             int64_t **out)
{
  const char *text = qk_config_string (cfg, option), *s = text;
  int n = 1;

  *out = NULL;
  if (*text == '\0')
    return 0;
  for (; *s != '\0'; s++)
    n += *s == ',';
  if ((*out = malloc ((size_t) n * sizeof **out)) == NULL)
    return qk_oom ("%s", who);
  s = text;
  for (int i = 0; i < n; i++, s++)
    if (!read_one (&s, &(*out)[i]) || (*s == '\0' && i + 1 < n)) {
      free (*out);
      *out = NULL;
      return qk_error (-EINVAL,
                       "%s: %s=%.60s, expected integers with commas in "
                       "between",
                       who, option, text);
    }
  return n;
}

int
intlist_read (const char *who, const struct qk_config *cfg, const char *option,
              int64_t *out, int most)
{
  int64_t *all;
  const int n = intlist_new (who, cfg, option, &all);

  if (n > most) {
    free (all);
    return qk_error (-EINVAL, "%s: %s has %d numbers, expected %d at most",
                     who, option, n, most);
  }
  if (n > 0)
    memcpy (out, all, (size_t) n * sizeof *out);
  free (all);
  return n;
}
