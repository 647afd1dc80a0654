/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* nearest.c: the known name that was probably meant. */
#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"

enum { NAME_MAX_LENGTH = 128 };

static int
fold (char c)
{
  if (c >= 'A' && c <= 'Z')
    return c - 'A' + 'a';
  return c == '-' ? '_' : c;
}

static int
smaller (int a, int b)
{
  return a < b ? a : b;
}

int
qk_edit_distance (const char *a, const char *b)
{
  /* Rows i-2, i-1 and i of the optimal string alignment table. */
  int rows[3][NAME_MAX_LENGTH + 1];
  int *two = rows[0], *one = rows[1], *now = rows[2];
  const size_t m = strlen (a), n = strlen (b);

  if (m > NAME_MAX_LENGTH || n > NAME_MAX_LENGTH)
    return INT_MAX;
  for (size_t j = 0; j <= n; j++)
    one[j] = (int) j;
  for (size_t i = 1; i <= m; i++) {
    int *recycled = two;

    now[0] = (int) i;
    for (size_t j = 1; j <= n; j++) {
      const int differ = fold (a[i - 1]) != fold (b[j - 1]);
      int d = smaller (one[j], now[j - 1]) + 1;

      d = smaller (d, one[j - 1] + differ);
      if (i > 1 && j > 1 && fold (a[i - 1]) == fold (b[j - 2])
          && fold (a[i - 2]) == fold (b[j - 1]))
        d = smaller (d, two[j - 2] + 1);
      now[j] = d;
    }
    two = one;
    one = now;
    now = recycled;
  }
  return one[n];
}

void
qk_nearest_init (struct qk_nearest *n, const char *name)
{
  n->name = name;
  n->best = NULL;
  n->distance = INT_MAX;
}

/* Length of the common beginning. */
static size_t
common_start (const char *a, const char *b)
{
  size_t n = 0;

  while (a[n] && b[n] && fold (a[n]) == fold (b[n]))
    n++;
  return n;
}

void
qk_nearest_offer (struct qk_nearest *n, const char *known)
{
  const size_t a = strlen (n->name), b = strlen (known);
  const size_t shorter = a < b ? a : b, longer = a < b ? b : a;
  const size_t start = common_start (n->name, known);
  int d = qk_edit_distance (n->name, known);

  if (d == INT_MAX)
    return;
  /* A third of the name may be wrong; and a beginning is as good as a name
   * ("moving_average"), though worse than any typing error. */
  if ((size_t) d > (longer + 2) / 3 || (size_t) d >= longer) {
    if (shorter < 3 || start < shorter)
      return;
    d = NAME_MAX_LENGTH + (int) (longer - shorter);
  }
  /* Among equals the longest common beginning wins. */
  d = d * 2 * NAME_MAX_LENGTH - (int) start;
  if (d < n->distance) {
    n->best = known;
    n->distance = d;
  }
}

const char *
qk_nearest_hint (const struct qk_nearest *n, char buf[QK_HINT_SIZE])
{
  buf[0] = '\0';
  if (n->best)
    snprintf (buf, QK_HINT_SIZE, " (did you mean '%s'?)", n->best);
  return buf;
}
