/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* watch.h: a stage of training and the score that it is watched by, epoch by
 * epoch: early stopping, and schedules that want to know. */
#ifndef QK_RUN_WATCH_H
#define QK_RUN_WATCH_H

#include "run/session.h"

/* What [train] or [qat] and their schedule ask for. */
struct qk_watch {
  int64_t
    patience; /* epochs without improvement that end the stage; 0: never */
  double min_delta;   /* what counts as improvement */
  int stop, schedule; /* scores, as qk_objective_score */
};

/* What a checkpoint keeps of it. */
struct qk_watched {
  double best; /* NaN: none yet */
  int64_t bad; /* epochs since */
};

/* For float training, or QAT. */
int qk_watch_init (struct qk_watch *w, const struct qk_settings *settings,
                   const struct qk_objective *o, bool qat);

/* Another epoch with SCORES.  Whether it is better than any before. */
bool qk_watch_epoch (const struct qk_watch *w, const struct qk_objective *o,
                     const struct qk_scores *scores, struct qk_watched *is);

/* Whether that is the end. */
bool qk_watch_stops (const struct qk_watch *w, const struct qk_watched *is);

#endif /* QK_RUN_WATCH_H */
