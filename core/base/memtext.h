/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* memtext.h: the end of a text that open_memstream gathers. */
#ifndef QK_BASE_MEMTEXT_H
#define QK_BASE_MEMTEXT_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Close F, which open_memstream made for *TEXT.  False, and *TEXT NULL, where
 * there was no memory for all that was written: neither printing nor glibc's
 * fclose says so each time. */
static inline bool
qk_close_text (FILE *f, char **text)
{
  bool failed = ferror (f) != 0;

  failed |= fclose (f) != 0;
  if (!failed && *text != NULL)
    return true;
  free (*text);
  *text = NULL;
  return false;
}

#endif /* QK_BASE_MEMTEXT_H */
