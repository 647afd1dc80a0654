/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* epochs.c: what follows an epoch of training: evaluation, of an average of the
 * network too, the best epoch, early stopping. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/averaged.h"
#include "run/epochs.h"

/* Whether float training is evaluated after each epoch. */
static bool
watches_float (const struct qk_run *run)
{
  return run->watch[0].patience > 0 || run->o->ema != NULL
         || run->o->schedule->epoch != NULL;
}

/* Whether the average of the network is what this stage gives. */
static bool
gives_average (const struct qk_run *run)
{
  const struct qk_settings *s = run->s.settings;

  return run->o->ema != NULL
         && qk_config_bool (run->stage == QK_RUN_QAT ? s->qat : s->train,
                            "ema_export");
}

/* Log the scores that tables show. */
static void
log_scores (const struct qk_run *run, const char *what,
            const struct qk_scores *s)
{
  char line[256] = "", text[32];
  int i;

  for (i = 0; i < run->s.objective->n_scores; i++) {
    const struct qk_score *k = &run->s.objective->score[i];
    const size_t used = strlen (line);

    if (k->spec.title != NULL)
      snprintf (line + used, sizeof line - used, "%s %s %s%s",
                used > 0 ? "," : "", k->name,
                qk_score_print (&k->spec, s->value[i], text, sizeof text),
                k->spec.percent ? " %" : "");
  }
  qk_log (run->s.settings->ctx, QK_LOG_INFO, "epoch %lld: %s%s, loss %.4f",
          (long long) run->pos.epoch, what, line, s->loss);
}

/* A network after an epoch: that which was trained, or its average. */
struct candidate {
  struct qk_graph *g;    /* float, or prepared */
  struct qk_graph *int8; /* what it becomes; NULL: it is evaluated itself */
  struct qk_graph *own;  /* G, where that is not the run's; owned */
  bool average;
  struct qk_result result;
};

static void
clear_candidate (struct candidate *c)
{
  qk_graph_free (c->int8);
  qk_graph_free (c->own);
}

/* Batch-norm statistics anew for C, where the configuration asks for it: of a
 * copy, so that training goes on as if nobody had looked. */
static int
renew_statistics (struct qk_run *run, struct candidate *c)
{
  int r;

  if (run->stage != QK_RUN_QAT
      || qk_config_int (run->s.settings->qat, "bn_reestimate") == 0)
    return 0;
  if (c->own == NULL && (r = qk_run_copied (run, &c->own)) < 0)
    return r;
  c->g = c->own;
  return qk_run_statistics (run, c->g);
}

/* Evaluate C, whose graph is set. */
static int
evaluate_candidate (struct qk_run *run, struct candidate *c)
{
  const bool qat = run->stage == QK_RUN_QAT;
  const bool analysis = qat && qk_graph_is_analysis (c->g);
  const struct qk_config *cfg
    = qat ? run->s.settings->qat : run->s.settings->train;
  char label[96], what[40];
  int r = renew_statistics (run, c);

  if (r < 0
      || (qat && !analysis && (r = qk_pass_convert (c->g, &c->int8)) < 0))
    return r;
  snprintf (what, sizeof what, "%s%s",
            !qat       ? "float"
            : analysis ? "fake-quantized"
                       : "int8",
            c->average ? " average" : "");
  snprintf (label, sizeof label, "%.40s %lld/%lld", what,
            (long long) run->pos.epoch,
            (long long) qk_config_int (cfg, "epochs"));
  r = qk_session_evaluate (&run->s, c->int8 != NULL ? c->int8 : c->g, label,
                           run->pos.epoch, &c->result);
  if (r == 0)
    log_scores (run, what, &c->result.scores);
  return r;
}

/* The network that the stage would give after this epoch.  Its average, where
 * there is one, is evaluated in any case. */
static int
find_candidate (struct qk_run *run, struct candidate *out)
{
  struct candidate average = { .average = true };
  int r = 0;

  memset (out, 0, sizeof *out);
  if (run->o->ema != NULL
      && ((r = qk_run_averaged (run, &average.own)) < 0
          || (average.g = average.own, r = evaluate_candidate (run, &average))
               < 0))
    goto end;
  if (gives_average (run)) {
    *out = average;
    return 0;
  }
  out->g = run->g;
  r = evaluate_candidate (run, out);
end:
  clear_candidate (&average);
  return r;
}

/* What follows the scores of an epoch.  Whether they are the best so far by
 * what early stopping looks at. */
static bool
watch_epoch (struct qk_run *run, const struct qk_scores *scores)
{
  const struct qk_watch *w = &run->watch[run->stage == QK_RUN_QAT];
  const struct qk_objective *o = run->s.objective;
  const bool better = qk_watch_epoch (w, o, scores, &run->watched);

  qk_optimize_epoch (run->o, qk_scores_get (scores, w->schedule),
                     qk_score_spec (o, w->schedule)->larger_is_better);
  if (qk_watch_stops (w, &run->watched))
    qk_log (run->s.settings->ctx, QK_LOG_INFO,
            "stopped early: no better %s in %lld epoch%s",
            qk_score_name (o, w->stop), (long long) run->watched.bad,
            run->watched.bad == 1 ? "" : "s");
  return better;
}

/* Evaluate where something follows from it. */
static int
end_float (struct qk_run *run)
{
  struct candidate c;
  bool better;
  int r;

  if (!watches_float (run))
    return 0;
  if ((r = find_candidate (run, &c)) == 0) {
    better = watch_epoch (run, &c.result.scores);
    if (better && run->watch[0].patience > 0)
      r = qk_run_save_state (run, c.g, BEST_FLOAT);
  }
  clear_candidate (&c);
  return r;
}

/* Fill the network from a checkpoint beside those of the run. */
static int
load_state (struct qk_run *run, const char *file)
{
  char *path = qk_run_path (run, file);
  struct qk_checkpoint *c;
  int r;

  if (path == NULL)
    return qk_oom ("run");
  if ((r = qk_run_open_best (run->s.settings->ctx, path, &c)) == 0) {
    r = qk_restore_network (run->g, run->s.teacher, c);
    qk_checkpoint_close (c);
  }
  free (path);
  return r;
}

int
qk_run_finish_float (struct qk_run *run)
{
  const struct qk_watch *watch = &run->watch[0];

  if (watch->patience > 0)
    return isnan (run->watched.best) ? 0 : load_state (run, BEST_FLOAT);
  return gives_average (run) ? qk_ema_apply (run->o->ema, run->g) : 0;
}

/* Which weights flip, after an epoch, where somebody asks. */
static int
report_oscillation (struct qk_run *run)
{
  double moving, frozen;

  if (run->o->oscillation == NULL)
    return 0;
  qk_oscillation_shares (run->o->oscillation, &moving, &frozen);
  qk_log (run->s.settings->ctx, QK_LOG_INFO,
          "epoch %lld: %.2f %% of the weights oscillate, %.2f %% are frozen",
          (long long) run->pos.epoch, 100 * moving, 100 * frozen);
  return qk_monitor_event (run->s.m, "oscillation", "i:epoch",
                           run->pos.epoch - 1, "f:oscillating", moving,
                           "f:frozen", frozen, NULL);
}

/* Convert and evaluate the real int8 network; keep the best of those with the
 * bits that are deployed, which alone are watched. */
static int
end_qat (struct qk_run *run)
{
  const bool deployed = run->phase == run->s.settings->n_phases - 1;
  struct qk_result *best = &run->result[QK_ROW_INT8];
  struct candidate c;
  int r = find_candidate (run, &c);

  if (r == 0 && (r = report_oscillation (run)) == 0 && deployed)
    watch_epoch (run, &c.result.scores);
  if (r == 0 && deployed
      && (run->best_epoch < 0
          || qk_score_better (run->s.objective, run->best, &c.result.scores,
                              &best->scores))) {
    *best = c.result;
    run->best_epoch = run->pos.epoch - 1;
    if ((r = qk_run_save_tables (run, "tables-int8.json")) == 0
        && c.int8 != NULL)
      r = qk_run_save_model (run, c.int8, "model-int8.safetensors");
    if (r == 0)
      r = qk_run_save_state (run, c.g, "best.safetensors");
    if (r == 0)
      r = qk_run_keep_spare (run, "best.safetensors");
  }
  clear_candidate (&c);
  return r;
}

int
qk_run_load_best (struct qk_run *run)
{
  return load_state (run, "best.safetensors");
}

int
qk_run_end_epoch (struct qk_run *run)
{
  return run->stage == QK_RUN_QAT ? end_qat (run) : end_float (run);
}

bool
qk_run_evaluates_itself (const struct qk_run *run)
{
  return run->stage == QK_RUN_QAT ? qk_graph_is_analysis (run->g)
                                  : watches_float (run);
}
