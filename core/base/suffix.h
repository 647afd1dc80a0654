/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* suffix.h: what the end of a file's name says of it. */
#ifndef QK_BASE_SUFFIX_H
#define QK_BASE_SUFFIX_H

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* Whether PATH ends in SUFFIX, ".ini" say, in whichever case, and has something
 * before it. */
static inline bool
qk_has_suffix (const char *path, const char *suffix)
{
  const size_t n = strlen (path), k = strlen (suffix);

  return k > 0 && n > k && strcasecmp (path + n - k, suffix) == 0;
}

#endif /* QK_BASE_SUFFIX_H */
