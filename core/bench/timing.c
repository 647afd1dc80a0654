/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* timing.c: seconds of many runs of the same work. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <qatkit/base.h>

#include "bench/timing.h"

int
qk_timing_add (struct qk_timing *t, double seconds)
{
  if (t->n == t->room) {
    const size_t room = t->room > 0 ? 2 * t->room : 64;
    double *s = realloc (t->s, room * sizeof *s);

    if (s == NULL)
      return qk_oom ("bench");
    t->s = s;
    t->room = room;
  }
  t->s[t->n++] = seconds;
  t->total += seconds;
  return 0;
}

double
qk_timing_best (const struct qk_timing *t)
{
  double best = t->n > 0 ? t->s[0] : 0;

  for (size_t i = 1; i < t->n; i++)
    if (t->s[i] < best)
      best = t->s[i];
  return best;
}

static int
ascending (const void *pa, const void *pb)
{
  const double a = *(const double *) pa, b = *(const double *) pb;

  return a < b ? -1 : a > b;
}

double
qk_timing_median (const struct qk_timing *t)
{
  if (t->n == 0)
    return 0;
  qsort (t->s, t->n, sizeof *t->s, ascending);
  return t->s[t->n / 2];
}

void
qk_timing_clear (struct qk_timing *t)
{
  free (t->s);
  memset (t, 0, sizeof *t);
}
