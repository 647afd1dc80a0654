/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* run.c: the story: train float, evaluate, PTQ, QAT epoch by epoch with the
 * real int8 network evaluated after each. */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/weights.h"
#include "run/coverage.h"
#include "run/epochs.h"
#include "run/optimizer.h"
#include "run/run.h"
#include "model/modelfile.h"

const char *
qk_row_name (enum qk_row row)
{
  static const char *const names[QK_ROWS]
    = { "float", "PTQ int8", "QAT fake-quantized", "QAT int8" };

  return names[row];
}

char *
qk_run_path (const struct qk_run *run, const char *file)
{
  char *path;

  return asprintf (&path, "%s/%s", run->output, file) < 0 ? NULL : path;
}

int
qk_run_finish (struct qk_run *run)
{
  return run->folder != NULL ? qk_folder_end (run->folder) : 0;
}

bool
qk_run_writes (const struct qk_run *run)
{
  return qk_comm_rank (run->s.m->comm) == 0;
}

/* ---- pieces ----------------------------------------------------------------- */

int
qk_run_save_model (struct qk_run *run, const struct qk_graph *g,
                   const char *file)
{
  const struct qk_model_info info
    = { run->s.eval->info.n_targets, run->s.eval->info.target,
        run->model_config, NULL };
  char *path = qk_run_path (run, file);
  int r;

  if (path == NULL)
    return qk_oom ("run");
  r = qk_run_writes (run) ? qk_model_save (g, &info, path) : 0;
  free (path);
  return qk_run_written (run, r);
}

int
qk_run_written (struct qk_run *run, int r)
{
  double failed = r < 0;
  const int err
    = qk_comm_reduce (run->s.m->comm, QK_COMM_MAX, QK_COMM_F64, &failed, 1);

  if (r < 0 || err < 0)
    return r < 0 ? r : err;
  return failed > 0 ? qk_error (-EIO, "the first process could not write") : 0;
}

/* ---- stages ------------------------------------------------------------------ */

/* One stage of training: its options and hooks. */
struct stage {
  const char *name;
  int64_t epochs, batches;
  /* flags of an epoch; also sets the observers */
  unsigned (*begin_epoch) (struct qk_run *run, int64_t epoch);
};

/* The losses of the stage that the run is in. */
static unsigned
stage_of_losses (const struct qk_run *run)
{
  return run->stage == QK_RUN_QAT ? QK_DURING_QAT : QK_DURING_TRAIN;
}

/* Executor of the network that training shall imitate, or that metrics
 * compare with, if there is one. */
static int
open_teacher (struct qk_run *run, struct qk_exec **teacher)
{
  struct qk_exec_options opt;

  if (run->s.teacher == NULL || run->stage != QK_RUN_QAT)
    return 0;
  qk_settings_exec_options (run->s.settings, run->s.train->batch, false, &opt);
  qk_objective_give (run->s.objective, &opt);
  return qk_exec_new (run->s.teacher, &opt, teacher);
}

/* LOSS has room for all and must outlive the executor. */
static int
open_executor (struct qk_run *run, struct qk_exec_loss *loss,
               struct qk_exec **ex)
{
  struct qk_exec_options opt;

  qk_settings_exec_options (run->s.settings, run->s.train->batch, true, &opt);
  opt.n_losses
    = qk_objective_losses (run->s.objective, stage_of_losses (run),
                           qk_settings_mixes (run->s.settings), loss);
  opt.loss = loss;
  if (run->stage == QK_RUN_QAT) /* what is compared with the teacher */
    qk_objective_give (run->s.objective, &opt);
  if (opt.n_losses == 0)
    return qk_error (-EINVAL, "no loss counts in %s; see 'during' in [loss]",
                     run->stage == QK_RUN_QAT ? "QAT" : "float training");
  return qk_exec_new (run->g, &opt, ex);
}

/* After an epoch.  What is evaluated may be the network being trained itself,
 * whose layers serve one executor at a time. */
static int
end_epoch (struct qk_run *run, struct qk_exec_loss *loss, struct qk_exec **ex)
{
  int r;

  if (!qk_run_evaluates_itself (run))
    return qk_run_end_epoch (run);
  qk_exec_free (*ex);
  *ex = NULL;
  r = qk_run_end_epoch (run);
  return r < 0 ? r : open_executor (run, loss, ex);
}

/* Resume the optimizer if a checkpoint of this stage is where we are. */
static int
resume_optimizer (struct qk_run *run)
{
  struct qk_checkpoint *c;
  int r;

  if (run->pos.epoch == 0 && run->pos.batch == 0)
    return 0;
  if ((r = qk_checkpoints_newest (run->checkpoints, &c)) < 0)
    return r;
  r = qk_run_restore (run, c);
  qk_checkpoint_close (c);
  return r;
}

/* Stopped in the middle of training: keep what there is. */
static int
stopped (struct qk_run *run)
{
  const int r = qk_run_checkpoint (run);

  return r < 0 ? r : -EINTR;
}

static void
count_steps (struct qk_run *run)
{
  run->steps += run->s.m->steps - run->counted;
  run->counted = run->s.m->steps;
}

/* Between two steps of an epoch. */
static int
save_within (void *cookie)
{
  struct qk_run *run = cookie;

  count_steps (run);
  return qk_run_checkpoint (run);
}

static int
train_epoch (struct qk_run *run, const struct stage *s, struct qk_exec *ex,
             struct qk_exec *teacher, int64_t batches)
{
  const struct qk_subject subject = { .ex = ex,
                                      .o = run->s.objective,
                                      .during = stage_of_losses (run),
                                      .teacher = teacher };
  const struct qk_config *checkpoint = run->s.settings->checkpoint;
  const int64_t epoch = run->pos.epoch;
  struct qk_train_options opt;
  struct qk_scores scores;
  char label[64];
  int64_t steps;
  float lr;
  int r;

  snprintf (label, sizeof label, "%s %lld/%lld", s->name,
            (long long) epoch + 1, (long long) s->epochs);
  memset (&opt, 0, sizeof opt);
  opt.label = label;
  opt.seed = run->s.settings->seed;
  opt.flags = s->begin_epoch (run, epoch);
  opt.batches = batches;
  opt.epochs = s->epochs;
  opt.save_batches = qk_config_int (checkpoint, "batches");
  opt.save_minutes = qk_config_float (checkpoint, "minutes");
  opt.save = save_within;
  opt.cookie = run;

  run->counted = run->s.m->steps;
  steps = qk_optimize_steps (run->o, batches);
  lr = qk_optimize_lr (run->o, opt.epochs * steps, steps);
  r = qk_stage_train (&subject, run->o, run->s.train->batches, &opt, run->s.m,
                      &run->pos);
  count_steps (run);
  if (run->g->stage == QK_STAGE_PREPARED)
    qk_graph_set_observing (run->g, false, false);
  if (r == -EINTR)
    return stopped (run);
  if (r < 0)
    return qk_error_prefix (r, "%s: ", label);
  qk_tally_scores (&run->pos.tally, run->s.objective, &scores);
  r = qk_monitor_scores (run->s.m, "epoch", run->s.objective, &scores,
                         "s:stage", s->name, "i:epoch", epoch, "f:lr",
                         (double) lr, "i:samples", scores.n, "i:bad_samples",
                         qk_batches_bad (run->s.train->batches), NULL);
  if (r == 0)
    r = qk_monitor_event (run->s.m, "timing", "s:what", label, "f:seconds",
                          scores.seconds, "f:samples_per_second",
                          qk_scores_speed (&scores), "f:input_wait_seconds",
                          scores.waited, NULL);
  return r;
}

/* ---- a stage --------------------------------------------------------------- */

/* Before an epoch: the bits that lists in [qconfig] give it.  Layers ask
 * quantizers when an executor is made, so that it is made anew. */
static int
change_bits (struct qk_run *run, struct qk_exec_loss *loss,
             struct qk_exec **ex)
{
  struct qk_settings *settings = run->s.settings;
  const int phase = qk_settings_phase (settings, run->pos.epoch);
  int r;

  if (run->stage != QK_RUN_QAT || phase == run->phase)
    return 0;
  qk_exec_free (*ex);
  *ex = NULL;
  if ((r = qk_settings_change_bits (settings, run->g, phase)) < 0)
    return r;
  run->phase = phase;
  qk_optimize_new_grids (run->o);
  qk_log (settings->ctx, QK_LOG_INFO,
          "epoch %lld: number %d of the %d of bits in [qconfig]",
          (long long) run->pos.epoch + 1, phase + 1, settings->n_phases);
  return open_executor (run, loss, ex);
}

static int
train_stage (struct qk_run *run, const struct stage *s)
{
  struct qk_exec_loss loss[QK_OBJECTIVE_AT_WORK];
  struct qk_exec *ex = NULL, *teacher = NULL;
  const bool qat = run->stage == QK_RUN_QAT;
  const struct qk_watch *watch = &run->watch[qat];
  int64_t batches;
  int r;

  if ((r = qk_settings_freeze (run->s.settings, run->g, qat)) < 0
      || (r = open_executor (run, loss, &ex)) < 0
      || (r = qk_settings_optimizer (run->s.settings, run->g, qat, &run->o))
           < 0
      || (r = open_teacher (run, &teacher)) < 0
      || (r = resume_optimizer (run)) < 0)
    goto end;
  batches = qk_batches_count (run->s.train->batches);
  if (s->batches > 0 && s->batches < batches)
    batches = s->batches;
  while (run->pos.epoch < s->epochs
         && !qk_watch_stops (watch, &run->watched)) {
    if ((r = change_bits (run, loss, &ex)) < 0
        || (r = train_epoch (run, s, ex, teacher, batches)) < 0
        || (r = qk_graph_check_params (run->g)) < 0)
      break;
    if ((r = end_epoch (run, loss, &ex)) == -EINTR) {
      /* trained but not evaluated: continue there */
      run->pos.epoch--;
      run->pos.batch = batches;
      r = stopped (run);
    }
    if (r < 0)
      break;
    qk_tally_reset (&run->pos.tally, run->s.objective);
    if ((r = qk_run_checkpoint (run)) < 0)
      break;
  }
  if (r == 0 && run->stage == QK_RUN_FLOAT)
    r = qk_run_finish_float (run);
end:
  qk_exec_free (ex);
  qk_exec_free (teacher);
  qk_optimize_free (run->o);
  run->o = NULL;
  return r;
}

static unsigned
float_begin (struct qk_run *run, int64_t epoch)
{
  (void) run;
  (void) epoch;
  return QK_PASS_BATCH_STATS;
}

/* The trained float weights, as PyTorch's load_state_dict takes them. */
static int
save_weights (struct qk_run *run)
{
  const struct qk_graph *g = run->g;
  struct qk_weight *w = calloc ((size_t) g->n_params + 1, sizeof *w);
  char *path = qk_run_path (run, "weights.safetensors");
  int i, r;

  if (w == NULL || path == NULL) {
    free (w);
    free (path);
    return qk_oom ("run");
  }
  for (i = 0; i < g->n_params; i++) {
    w[i].name = qk_param_file_name (&g->param[i]);
    w[i].tensor = &g->param[i].value;
    w[i].layout = g->param[i].spec.layout;
  }
  r = qk_run_writes (run) ? qk_weights_save (run->s.settings->ctx, path, NULL,
                                             w, (size_t) g->n_params, NULL, 0)
                          : 0;
  free (w);
  free (path);
  r = qk_run_written (run, r);
  return r < 0 ? r : qk_run_keep_spare (run, "weights.safetensors");
}

static int
float_stage (struct qk_run *run)
{
  const struct stage s = {
    "train",
    qk_config_int (run->s.settings->train, "epochs"),
    qk_config_int (run->s.settings->train, "batches"),
    float_begin,
  };
  int r;

  if (s.epochs == 0)
    return 0;
  if ((r = train_stage (run, &s)) < 0)
    return r;
  return save_weights (run);
}

static unsigned
qat_begin (struct qk_run *run, int64_t epoch)
{
  const struct qk_config *qat = run->s.settings->qat;
  const bool observe = epoch <= qk_config_int (qat, "freeze_observers_after");
  const bool stats = epoch <= qk_config_int (qat, "freeze_bn_after");

  qk_graph_set_observing (run->g, observe, observe);
  return stats ? QK_PASS_BATCH_STATS : 0;
}

static int
qat_stage (struct qk_run *run)
{
  const struct stage s = {
    "qat",
    qk_config_int (run->s.settings->qat, "epochs"),
    qk_config_int (run->s.settings->qat, "batches"),
    qat_begin,
  };
  int r;

  if (s.epochs == 0)
    return 0;
  run->analysis = qk_graph_is_analysis (run->g);
  if ((r = train_stage (run, &s)) < 0 || (r = qk_run_load_best (run)) < 0)
    return r;
  r = qk_session_evaluate (&run->s, run->g, qk_row_name (QK_ROW_QAT),
                           run->pos.epoch, &run->result[QK_ROW_QAT]);
  qk_coverage_raised (run->g, "QAT");
  return r;
}

/* Tell what PTQ will quantize. */
static int
report_ptq (struct qk_run *run)
{
  struct qk_graph *p;
  int r;

  if ((r = qk_settings_prepare (run->s.settings, run->g, true, &p)) < 0)
    return r;
  r = qk_coverage_report (p, "PTQ", run->s.m);
  qk_graph_free (p);
  return r;
}

static int
ptq_stage (struct qk_run *run)
{
  struct qk_graph *int8;
  int r;

  if ((r = report_ptq (run)) < 0
      || (r = qk_session_ptq (&run->s, run->g, &int8, &run->analysis)) < 0)
    return qk_error_prefix (r, "PTQ: ");
  r = qk_session_evaluate (&run->s, int8,
                           run->analysis ? "PTQ fake-quantized"
                                         : qk_row_name (QK_ROW_PTQ),
                           -1, &run->result[QK_ROW_PTQ]);
  if (r == 0)
    r = qk_run_save_tables (run, "tables-ptq.json");
  if (r == 0 && run->analysis)
    qk_log (run->s.settings->ctx, QK_LOG_INFO,
            "PTQ: evaluated fake-quantized; no "
            "model is written, as weights alone have no int8 form");
  else if (r == 0)
    r = qk_run_save_model (run, int8, "model-ptq.safetensors");
  qk_graph_free (int8);
  return r;
}

/* From the trained float network to the prepared one. */
static int
begin_qat (struct qk_run *run)
{
  struct qk_graph *p, *calibrated = NULL;
  int r;

  if ((r = qk_session_keep_teacher (&run->s, run->g)) < 0)
    return r;
  if (qk_config_bool (run->s.settings->qat, "from_ptq")) {
    if ((r = qk_session_improve (&run->s, run->g, &calibrated, &p)) < 0)
      return r;
    qk_graph_free (run->g);
    run->g = p;
  }
  if ((r = qk_settings_prepare (run->s.settings, run->g, false, &p)) < 0) {
    qk_graph_free (calibrated);
    return r;
  }
  if (calibrated != NULL)
    r = qk_grids_carry (calibrated, p);
  qk_graph_free (calibrated);
  /* the report is of the network that is deployed */
  if (r < 0 || (r = qk_coverage_report (p, "QAT", run->s.m)) < 0
      || (r = qk_settings_change_bits (run->s.settings, p, 0)) < 0) {
    qk_graph_free (p);
    return r;
  }
  run->phase = 0;
  qk_graph_free (run->g);
  run->g = p;
  run->stage = QK_RUN_QAT;
  run->pos.epoch = run->pos.batch = 0;
  run->watched = (struct qk_watched){ NAN, 0 };
  qk_tally_reset (&run->pos.tally, run->s.objective);
  return qk_run_checkpoint (run);
}

/* What cannot be mended after hours of training is said before. */
static void
warn_before (const struct qk_run *run, unsigned parts)
{
  const struct qk_settings *settings = run->s.settings;
  const struct qk_graph *g = run->g;
  const bool trains
    = (parts & QK_PART_TRAIN) && qk_config_int (settings->train, "epochs") > 0;

  if (!trains && run->stage == QK_RUN_FLOAT && g->n_params > 0 && !g->filled
      && *qk_config_string (settings->model, "weights") == 0)
    qk_log (settings->ctx, QK_LOG_WARNING,
            "no weights are named (model.weights): the float network is one "
            "of random numbers");
  for (int i = 0; !trains && run->stage == QK_RUN_FLOAT && i < g->n_params;
       i++)
    if (g->param[i].anew) {
      qk_log (settings->ctx, QK_LOG_WARNING,
              "%s starts anew (model.weights.skip) and there is no float "
              "training: the float network gives random numbers",
              g->param[i].name);
      break;
    }
  for (int i = 0; i < g->n_nodes; i++)
    if (strchr (g->node[i].layer_name, '/') != NULL) {
      qk_log (settings->ctx, QK_LOG_WARNING,
              "node '%s': layer %s is named by its path, which no model file "
              "may choose: models of this network open with --plugin %s only. "
              " In a folder layers/ below one of QATKIT_PLUGIN_PATH it could "
              "be named plainly",
              g->node[i].name, g->node[i].layer_name, g->node[i].layer_name);
      return;
    }
}

static int
do_parts (struct qk_run *run, unsigned parts)
{
  const int64_t epochs = qk_config_int (run->s.settings->qat, "epochs");
  const bool resumed = run->stage != QK_RUN_FLOAT;
  int r;

  warn_before (run, parts);
  r = qk_monitor_event (
    run->s.m, "run_start", "s:model", run->s.settings->model_class->cls.name,
    "s:dataset", run->s.settings->dataset_class->cls.name, "s:backend",
    run->s.settings->backend_class->cls.name, "s:cpu_level",
    run->s.settings->caps.cpu_level, "i:seed", (int64_t) run->s.settings->seed,
    "i:threads", (int64_t) run->s.settings->threads, NULL);
  if (r < 0)
    return r;
  if (run->stage == QK_RUN_FLOAT) {
    if (((parts & QK_PART_TRAIN) && (r = float_stage (run)) < 0)
        || (r
            = qk_session_evaluate (&run->s, run->g, qk_row_name (QK_ROW_FLOAT),
                                   -1, &run->result[QK_ROW_FLOAT]))
             < 0
        || (r = qk_run_save_tables (run, "tables-float.json")) < 0)
      return r;
    /* PTQ is compared with the float network too */
    if ((parts & QK_PART_PTQ)
        && ((r = qk_session_keep_teacher (&run->s, run->g)) < 0
            || (r = ptq_stage (run)) < 0))
      return r;
    if (!(parts & QK_PART_QAT) || epochs == 0)
      return qk_monitor_event (run->s.m, "run_end", NULL);
    if ((r = begin_qat (run)) < 0)
      return r;
  }
  if (resumed)
    qk_run_repair (run, parts);
  if (run->stage == QK_RUN_QAT && (parts & QK_PART_QAT)
      && (r = qat_stage (run)) < 0)
    return r;
  return qk_monitor_event (run->s.m, "run_end", "i:best_epoch",
                           run->best_epoch, NULL);
}

int
qk_run_go (struct qk_run *run, unsigned parts)
{
  const int r = do_parts (run, parts);
  const double end = run->s.m->deadline;
  const bool over = end > 0 && qk_seconds () >= end;

  if (r != -EINTR)
    return r;
  if (run->fresh)
    return qk_error (r, "stopped before there was anything to keep");
  return qk_error (r,
                   "stopped%s; --resume continues from the checkpoint in '%s'",
                   over ? " after run.max_minutes" : "", run->output);
}
