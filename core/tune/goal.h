/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* goal.h: an accuracy that tuning aims at, as the user writes it. */
#ifndef QK_TUNE_GOAL_H
#define QK_TUNE_GOAL_H

#include "train/objective.h"

/* "miou >= float - 0.5": percent points below the float network;
 * "mae <= float + 2 %": two percent of its score above; "miou >= 90". */
struct qk_goal {
  char name[64]; /* of a score */
  bool at_least; /* ">=", else "<=" */
  bool relative; /* to the float network's score */
  bool share;    /* value is percent of the float network's score */
  double value;  /* as scores are shown: in percent where they are */
  int score;     /* its number, after qk_goal_bind */
  struct qk_score_spec spec;
};

/* -EINVAL with what was expected. */
int qk_goal_parse (const char *text, struct qk_goal *out);

/* Find the score that the goal names; -EINVAL naming those there are, and
 * where the goal has the direction wrong. */
int qk_goal_bind (struct qk_goal *goal, const struct qk_objective *o);

/* What the goal asks for, as shown, where the float network has F. */
double qk_goal_threshold (const struct qk_goal *goal,
                          const struct qk_scores *f);
/* Scores are often counts of samples: equal counts as reached. */
bool qk_goal_reached (const struct qk_goal *goal, const struct qk_scores *f,
                      const struct qk_scores *s);

#endif /* QK_TUNE_GOAL_H */
