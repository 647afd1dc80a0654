/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* watch.c: the score that a stage of training is watched by. */
#include "config.h"

#include <math.h>

#include "run/watch.h"

/* The score that KEY of CFG names; empty: the first. */
static int
find_score (const struct qk_config *cfg, const char *key,
            const struct qk_objective *o, int *out)
{
  const char *name = qk_config_string (cfg, key);
  const int score = *name == '\0' ? qk_objective_first_score (o)
                                  : qk_objective_score (o, name);

  if (score < 0)
    return qk_error_prefix (score, "%s: ", qk_config_where (cfg, key));
  *out = score;
  return 0;
}

int
qk_watch_init (struct qk_watch *w, const struct qk_settings *settings,
               const struct qk_objective *o, bool qat)
{
  const struct qk_config *cfg = qat ? settings->qat : settings->train;
  const struct qk_config *schedule = qat ? settings->qat_opt.schedule_core
                                         : settings->train_opt.schedule_core;
  int r;

  w->patience = qk_config_int (cfg, "stop.patience");
  w->min_delta = qk_config_float (cfg, "stop.min_delta");
  if ((r = find_score (cfg, "stop.score", o, &w->stop)) < 0)
    return r;
  return find_score (schedule, "score", o, &w->schedule);
}

bool
qk_watch_epoch (const struct qk_watch *w, const struct qk_objective *o,
                const struct qk_scores *scores, struct qk_watched *is)
{
  const double x = qk_scores_get (scores, w->stop);
  const double gain = qk_score_spec (o, w->stop)->larger_is_better
                        ? x - is->best
                        : is->best - x;
  const bool better = !isnan (x) && (isnan (is->best) || gain > w->min_delta);

  if (better)
    is->best = x;
  is->bad = better ? 0 : is->bad + 1;
  return better;
}

bool
qk_watch_stops (const struct qk_watch *w, const struct qk_watched *is)
{
  return w->patience > 0 && is->bad >= w->patience;
}
