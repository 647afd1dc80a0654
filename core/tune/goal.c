/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* goal.c: reading and checking an accuracy goal. */
#include "config.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tune/goal.h"

/* Pass over blanks and the word W; whether it was there. */
static bool
word (const char **s, const char *w)
{
  const size_t n = strlen (w);

  while (isspace ((unsigned char) **s))
    (*s)++;
  if (strncmp (*s, w, n) != 0)
    return false;
  *s += n;
  return true;
}

static bool
number (const char **s, double *out)
{
  char *end;

  *out = strtod (*s, &end);
  if (end == *s || !isfinite (*out))
    return false;
  *s = end;
  return true;
}

int
qk_goal_parse (const char *text, struct qk_goal *out)
{
  const char *s = text;
  bool good;

  memset (out, 0, sizeof *out);
  out->top5 = word (&s, "top5");
  good = (out->top5 || word (&s, "top1")) && word (&s, ">=");
  if (good && word (&s, "float")) {
    const bool minus = word (&s, "-");

    out->relative = true;
    if (minus || word (&s, "+")) {
      good = number (&s, &out->value) && out->value >= 0;
      out->value = minus ? -out->value : out->value;
    }
  } else if (good)
    good = number (&s, &out->value) && out->value >= 0 && out->value <= 100;
  while (isspace ((unsigned char) *s))
    s++;
  if (good && *s == 0)
    return 0;
  return qk_error (-EINVAL,
                   "goal '%s' is not understood, expected something "
                   "like 'top1 >= float - 0.5' (percent points) or "
                   "'top5 >= 90' (percent)",
                   text);
}

double
qk_goal_threshold (const struct qk_goal *goal, const struct qk_metrics *f)
{
  const double base = goal->top5 ? qk_metrics_top5 (f) : qk_metrics_top1 (f);

  return (goal->relative ? 100 * base : 0) + goal->value;
}

bool
qk_goal_reached (const struct qk_goal *goal, const struct qk_metrics *f,
                 double top1, double top5)
{
  return 100 * (goal->top5 ? top5 : top1)
         >= qk_goal_threshold (goal, f) - 1e-9;
}
