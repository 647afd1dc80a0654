/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* averaged.c: copies of the network in training, as it is and with the
 * averages of its weights. */
#include "config.h"

#include <stdio.h>

#include "run/averaged.h"
#include "train/normstats.h"

int
qk_run_copied (struct qk_run *run, struct qk_graph **out)
{
  struct qk_graph *plain, *g = NULL;
  int r = qk_graph_copy (run->g, &plain);

  if (r < 0 || run->g->stage == QK_STAGE_FLOAT) {
    *out = plain;
    return r;
  }
  if ((r = qk_settings_prepare_phase (run->s.settings, plain, run->phase, &g))
      == 0)
    r = qk_run_copy_state (run->g, g);
  qk_graph_free (plain);
  if (r < 0) {
    qk_graph_free (g);
    return r;
  }
  *out = g;
  return 0;
}

int
qk_run_averaged (struct qk_run *run, struct qk_graph **out)
{
  struct qk_graph *g;
  int r = qk_run_copied (run, &g);

  if (r < 0)
    return r;
  if ((r = qk_ema_apply (run->o->ema, g)) < 0) {
    qk_graph_free (g);
    return r;
  }
  *out = g;
  return 0;
}

int
qk_run_statistics (struct qk_run *run, struct qk_graph *g)
{
  const struct qk_settings *settings = run->s.settings;
  const struct qk_config *qat = settings->qat;
  const int64_t batches = qk_batches_count (run->s.train->batches);
  char label[64];
  struct qk_anew_options anew
    = { .label = label,
        .seed = settings->seed,
        .epoch = run->pos.epoch,
        .limit = qk_config_int (qat, "bn_reestimate") };
  struct qk_exec_options opt;
  struct qk_exec *ex;
  int r;

  snprintf (label, sizeof label, "statistics %lld/%lld",
            (long long) run->pos.epoch,
            (long long) qk_config_int (qat, "epochs"));
  anew.limit = anew.limit < batches ? anew.limit : batches;
  qk_graph_set_observing (g, false, false);
  qk_settings_exec_options (settings, run->s.train->batch, true, &opt);
  if ((r = qk_exec_new (g, &opt, &ex)) < 0)
    return r;
  r = qk_stats_anew (g, ex, run->s.train->batches, &anew, run->s.m);
  qk_exec_free (ex);
  return r < 0 ? qk_error_prefix (r, "%s: ", label) : 0;
}
