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

/* The name of a score, which ends at a blank or at the comparison. */
static bool
score_name (const char **s, char *out, size_t size)
{
  size_t n;

  while (isspace ((unsigned char) **s))
    (*s)++;
  n = strcspn (*s, " \t<>=");
  if (n == 0 || n >= size)
    return false;
  memcpy (out, *s, n);
  out[n] = '\0';
  *s += n;
  return true;
}

/* "float", "float - 0.5" or "float + 2 %". */
static bool
relative (const char **s, struct qk_goal *out)
{
  bool minus;

  out->relative = true;
  minus = word (s, "-");
  if (!minus && !word (s, "+"))
    return true;
  if (!number (s, &out->value) || out->value < 0)
    return false;
  out->share = word (s, "%");
  out->value = minus ? -out->value : out->value;
  return true;
}

int
qk_goal_parse (const char *text, struct qk_goal *out)
{
  const char *s = text;
  bool good;

  memset (out, 0, sizeof *out);
  good = score_name (&s, out->name, sizeof out->name);
  out->at_least = good && word (&s, ">=");
  good = good && (out->at_least || word (&s, "<="));
  if (good)
    good = word (&s, "float") ? relative (&s, out) : number (&s, &out->value);
  while (isspace ((unsigned char) *s))
    s++;
  if (good && *s == 0)
    return 0;
  return qk_error (
    -EINVAL,
    "goal '%s' is not understood, expected something "
    "like 'miou >= float - 0.5' (points), 'mae <= float + 2 %%' or "
    "'miou >= 90'",
    text);
}

int
qk_goal_bind (struct qk_goal *goal, const struct qk_objective *o)
{
  const int r = qk_objective_score (o, goal->name);

  if (r < 0)
    return qk_error_prefix (r, "goal: ");
  goal->score = r;
  goal->spec = *qk_score_spec (o, r);
  if (goal->at_least != goal->spec.larger_is_better)
    return qk_error (
      -EINVAL, "goal: %s is better where it is %s, expected '%s'", goal->name,
      goal->spec.larger_is_better ? "larger" : "smaller",
      goal->spec.larger_is_better ? ">=" : "<=");
  if (goal->spec.percent && !goal->relative
      && !(goal->value >= 0 && goal->value <= 100))
    return qk_error (-EINVAL, "goal: %s is in percent, 0 to 100, not %g",
                     goal->name, goal->value);
  return 0;
}

/* A score as it is shown. */
static double
shown (const struct qk_goal *goal, const struct qk_scores *s)
{
  const double x = qk_scores_get (s, goal->score);

  return goal->spec.percent ? 100 * x : x;
}

double
qk_goal_threshold (const struct qk_goal *goal, const struct qk_scores *f)
{
  const double base = goal->relative ? shown (goal, f) : 0;

  return goal->share ? base * (1 + goal->value / 100) : base + goal->value;
}

bool
qk_goal_reached (const struct qk_goal *goal, const struct qk_scores *f,
                 const struct qk_scores *s)
{
  const double x = shown (goal, s), want = qk_goal_threshold (goal, f);
  const double little = 1e-9 * (fabs (want) > 1 ? fabs (want) : 1);

  return goal->at_least ? x >= want - little : x <= want + little;
}
