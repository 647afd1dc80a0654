/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* difference.c: what tells two lists of lines apart, in words. */
#include "config.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/difference.h"

/* A line without its end; size 0 where the text is over. */
struct line {
  const char *s;
  size_t size;
};

static struct line
line_at (const char *text, size_t n, size_t at)
{
  const char *s = text + at, *end;

  if (at >= n)
    return (struct line){ text + n, 0 };
  end = memchr (s, '\n', n - at);
  return (struct line){ s, end != NULL ? (size_t) (end - s) : n - at };
}

/* What stands before the tab. */
static size_t
name_size (struct line l)
{
  const char *tab = l.size > 0 ? memchr (l.s, '\t', l.size) : NULL;

  return tab != NULL ? (size_t) (tab - l.s) : l.size;
}

/* Whether a line of TEXT from AT on begins with the name of L. */
static bool
has_name (const char *text, size_t n, size_t at, struct line l)
{
  const size_t size = name_size (l);

  while (at < n) {
    const struct line x = line_at (text, n, at);

    if (size > 0 && name_size (x) == size && memcmp (x.s, l.s, size) == 0)
      return true;
    at += x.size + 1;
  }
  return false;
}

void
qk_difference (const char *a, size_t n_a, const char *b, size_t n_b, char *out,
               size_t size)
{
  size_t at = 0;
  struct line x, y;
  int nx, ny;

  do {
    x = line_at (a, n_a, at);
    y = line_at (b, n_b, at);
    if (x.size != y.size || memcmp (x.s, y.s, x.size) != 0)
      break;
    at += x.size + 1;
  } while (at < n_a || at < n_b);
  nx = (int) name_size (x);
  ny = (int) name_size (y);
  if (nx > 0 && nx == ny && memcmp (x.s, y.s, (size_t) nx) == 0)
    snprintf (out, size, "'%.*s' has other contents", nx, x.s);
  else if (y.size == 0 || has_name (a, n_a, at, y))
    snprintf (out, size, "'%.*s' is missing", nx, x.s);
  else if (x.size == 0 || has_name (b, n_b, at, x))
    snprintf (out, size, "'%.*s' is new", ny, y.s);
  else
    snprintf (out, size, "'%.*s' instead of '%.*s'", ny, y.s, nx, x.s);
}
