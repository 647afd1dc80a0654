/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* goal.h: an accuracy that tuning aims at, as the user writes it. */
#ifndef QK_TUNE_GOAL_H
#define QK_TUNE_GOAL_H

#include <qatkit/base.h>

#include "train/metrics.h"

/* "top1 >= float - 0.5": percent points below the float network;
 * "top5 >= 90": percent. */
struct qk_goal {
  bool top5;
  bool relative; /* to the float network's accuracy */
  double value;  /* percent (points) */
};

/* -EINVAL with what was expected. */
int qk_goal_parse (const char *text, struct qk_goal *out);

/* What the goal asks for, in percent, where the float network has F. */
double qk_goal_threshold (const struct qk_goal *goal,
                          const struct qk_metrics *f);
/* Accuracies are counts of samples: equal counts as reached. */
bool qk_goal_reached (const struct qk_goal *goal, const struct qk_metrics *f,
                      double top1, double top5);

#endif /* QK_TUNE_GOAL_H */
