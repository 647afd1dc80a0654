/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json-text.c: a JSON value as text, whole or not at all. */
#include "config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/json-text.h"

struct text {
  char *s;
  size_t len, room;
  bool failed; /* for good, whatever the caller makes of our answer */
};

static int
append (const char *piece, size_t n, void *data)
{
  struct text *t = data;

  if (!t->failed && t->room - t->len <= n) {
    const size_t room = 2 * t->room + n + 1;
    char *s = realloc (t->s, room);

    t->failed = s == NULL;
    if (s != NULL) {
      t->s = s;
      t->room = room;
    }
  }
  if (t->failed)
    return -1;
  memcpy (t->s + t->len, piece, n);
  t->len += n;
  t->s[t->len] = '\0';
  return 0;
}

char *
qk_json_text (const json_t *j, size_t flags)
{
  struct text t = { NULL, 0, 0, false };

  if (j == NULL || json_dump_callback (j, append, &t, flags) < 0 || t.failed) {
    free (t.s);
    return NULL;
  }
  return t.s;
}
