/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* run.c: the story: train float, evaluate, PTQ, QAT epoch by epoch with the
 * real int8 network evaluated after each. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/atomic-file.h"
#include "io/weights.h"
#include "run/coverage.h"
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

/* ---- making and freeing --------------------------------------------------- */

int
qk_run_make_folder (const char *path)
{
  char *p = strdup (path), *s;
  int r = 0;

  if (p == NULL)
    return qk_oom ("%s", path);
  for (s = p + 1; r == 0; s++) {
    const char c = *s;

    if (c != '/' && c != 0)
      continue;
    *s = 0;
    if (mkdir (p, 0777) < 0 && errno != EEXIST)
      r = qk_error (-errno, "cannot make folder '%s': %s", p,
                    strerror (errno));
    *s = c;
    if (c == 0)
      break;
  }
  free (p);
  return r;
}

static int
open_folder (struct qk_run *run)
{
  char *dir;
  int r;

  run->output = strdup (qk_config_string (run->settings->run, "output"));
  if (run->output == NULL)
    return qk_oom ("run");
  if (*run->output == 0)
    return qk_error (-EINVAL, "%s: output is empty, expected a folder",
                     qk_config_where (run->settings->run, "output"));
  if ((r = qk_run_make_folder (run->output)) < 0
      /* of a run that was killed */
      || (r = qk_atomic_remove_leftovers (run->settings->ctx, run->output,
                                          ".safetensors"))
           < 0)
    return r;
  if ((dir = qk_run_path (run, "checkpoints")) == NULL)
    return qk_oom ("run");
  r = qk_checkpoints_open (run->settings->ctx, dir,
                           (int) qk_config_int (run->settings->run, "keep"),
                           &run->checkpoints);
  free (dir);
  return r;
}

static int
open_reporter (struct qk_run *run, const struct qk_reporter_class *cls,
               const struct qk_reporter_request *req)
{
  const int i = run->m->n_reporters;
  struct qk_config *cfg = NULL;
  int r;

  if ((r = qk_config_parse (cls->cls.options, "", cls->cls.name, &cfg)) < 0)
    return r;
  run->m->reporter[i] = cls;
  r = cls->create (cfg, req, &run->m->reporter_self[i]);
  qk_config_free (cfg);
  if (r == 0)
    run->m->n_reporters++;
  return r;
}

/* The reporter plugins of the configuration. */
static int
open_reporters (struct qk_run *run, bool resume)
{
  const struct qk_reporter_class *cls[QK_MONITOR_MAX_REPORTERS];
  const struct qk_reporter_request req = { run->output, resume };
  const int n = qk_settings_reporters (
    run->settings, QK_MONITOR_MAX_REPORTERS - run->m->n_reporters, cls);
  int i, r = 0;

  if (n < 0 || qk_comm_rank (run->m->comm) > 0)
    return n < 0 ? n : 0;
  for (i = 0; r == 0 && i < n; i++)
    r = open_reporter (run, cls[i], &req);
  return r;
}

/* Both splits must mean the same by class number I. */
static int
open_splits (struct qk_run *run)
{
  const struct qk_dataset_info *t, *v;
  int i, r;

  if ((r = qk_data_open (run->settings, QK_DATA_EVAL, &run->eval)) < 0
      || (r = qk_data_open (run->settings, QK_DATA_TRAIN, &run->train)) < 0)
    return r;
  t = &run->train->info;
  v = &run->eval->info;
  if (t->classes != v->classes)
    return qk_error (-EINVAL,
                     "the training samples have %d classes, those "
                     "for evaluation %d",
                     t->classes, v->classes);
  for (i = 0; i < t->classes; i++)
    if (strcmp (t->class_names[i], v->class_names[i]) != 0)
      return qk_error (-EINVAL,
                       "class %d is '%s' of the training samples, "
                       "but '%s' of those for evaluation",
                       i, t->class_names[i], v->class_names[i]);
  return 0;
}

/* QAT compares with the float network G if it is asked to. */
static int
keep_teacher (struct qk_run *run, const struct qk_graph *g)
{
  if (qk_config_float (run->settings->qat, "distill") <= 0
      || run->teacher != NULL)
    return 0;
  return qk_pass_fuse (g, &run->teacher);
}

static int
start_network (struct qk_run *run, struct qk_graph **float_g)
{
  struct qk_graph *g;
  int r;

  if (run->stage == QK_RUN_FLOAT)
    r = qk_pass_fuse (*float_g, &g);
  else if ((r = keep_teacher (run, *float_g)) == 0)
    r = qk_settings_prepare (run->settings, *float_g, false, &g);
  if (r < 0)
    return r;
  qk_graph_free (*float_g);
  *float_g = g;
  return 0;
}

int
qk_run_new (struct qk_settings *settings, struct qk_monitor *m, bool resume,
            struct qk_run **out)
{
  struct qk_run *run = calloc (1, sizeof *run);
  struct qk_checkpoint *c = NULL;
  int r;

  if (run == NULL)
    return qk_oom ("run");
  run->settings = settings;
  run->m = m;
  run->best_epoch = -1;
  run->fresh = true;
  if ((r = open_splits (run)) < 0
      || (r = qk_settings_build (settings, &run->eval->info, true, &run->g))
           < 0
      /* before hours of float training */
      || (r = qk_settings_check (settings, run->g)) < 0
      || (r = qk_ini_text (settings->ini, &run->config)) < 0
      || (r = open_folder (run)) < 0)
    goto error;
  if (resume) {
    r = qk_checkpoints_newest (run->checkpoints, &c);
    if (r == -ENOENT)
      qk_log (settings->ctx, QK_LOG_INFO, "no checkpoint yet in '%s'",
              run->output);
    else if (r < 0 || (r = qk_run_check_config (run, c)) < 0
             || (r = qk_run_peek (run, c)) < 0)
      goto error;
    if (qk_run_writes (run))
      qk_checkpoints_prune (run->checkpoints);
  }
  if ((r = start_network (run, &run->g)) < 0)
    goto error;
  if (c != NULL && (r = qk_run_restore (run, c, true)) < 0)
    goto error;
  run->fresh = c == NULL;
  if ((r = open_reporters (run, c != NULL)) < 0)
    goto error;
  qk_checkpoint_close (c);
  *out = run;
  return 0;

error:
  qk_checkpoint_close (c);
  qk_run_free (run);
  return r;
}

void
qk_run_free (struct qk_run *run)
{
  if (run == NULL)
    return;
  qk_optimize_free (run->o);
  qk_graph_free (run->g);
  qk_graph_free (run->teacher);
  qk_data_close (run->train);
  qk_data_close (run->calibrate);
  qk_data_close (run->eval);
  qk_checkpoints_close (run->checkpoints);
  free (run->config);
  free (run->output);
  free (run);
}

bool
qk_run_writes (const struct qk_run *run)
{
  return qk_comm_rank (run->m->comm) == 0;
}

/* ---- pieces ----------------------------------------------------------------- */

int
qk_run_evaluate (struct qk_run *run, struct qk_graph *g, const char *label,
                 struct qk_result *out)
{
  struct qk_exec_options opt;
  struct qk_exec *ex;
  int r;

  memset (out, 0, sizeof *out);
  /* validation samples must not move the ranges */
  if (g->stage == QK_STAGE_PREPARED)
    qk_graph_set_observing (g, false, false);
  qk_settings_exec_options (run->settings, run->eval->batch, false, &opt);
  if ((r = qk_exec_new (g, &opt, &ex)) < 0)
    return r;
  r = qk_stage_evaluate (ex, run->eval->batches,
                         qk_config_int (run->settings->data, "eval_batches"),
                         label, run->m, &out->metrics);
  qk_exec_free (ex);
  if (r < 0)
    return r;
  out->valid = true;
  out->bytes = qk_graph_bytes (g);
  r = qk_monitor_event (
    run->m, "eval", "s:network", label, "i:epoch",
    run->stage == QK_RUN_QAT ? run->pos.epoch : -1, "i:samples",
    out->metrics.n, "f:top1", qk_metrics_top1 (&out->metrics), "f:top5",
    qk_metrics_top5 (&out->metrics), "f:loss", qk_metrics_loss (&out->metrics),
    "i:ties1", out->metrics.ties1, "i:ties5", out->metrics.ties5, "i:bytes",
    out->bytes, NULL);
  if (r < 0)
    return r;
  return qk_monitor_event (run->m, "timing", "s:what", label, "f:seconds",
                           out->metrics.seconds, "f:samples_per_second",
                           qk_metrics_speed (&out->metrics), NULL);
}

int
qk_run_save_model (struct qk_run *run, const struct qk_graph *g,
                   const char *file)
{
  const struct qk_model_info info
    = { run->eval->info.classes, run->eval->info.class_names, run->config };
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
    = qk_comm_reduce (run->m->comm, QK_COMM_MAX, QK_COMM_F64, &failed, 1);

  if (r < 0 || err < 0)
    return r < 0 ? r : err;
  return failed > 0 ? qk_error (-EIO, "the first process could not write") : 0;
}

/* ---- stages ------------------------------------------------------------------ */

/* One stage of training: its options and hooks. */
struct stage {
  const char *name;
  int64_t epochs, batches;
  const struct qk_settings_optimizer *optimizer;
  /* flags of an epoch; also sets the observers */
  unsigned (*begin_epoch) (struct qk_run *run, int64_t epoch);
  int (*end_epoch) (struct qk_run *run);
};

/* Executor of the network that training shall imitate, if it shall. */
static int
open_teacher (struct qk_run *run, struct qk_exec **teacher)
{
  struct qk_exec_options opt;

  if (run->teacher == NULL || run->stage != QK_RUN_QAT)
    return 0;
  qk_settings_exec_options (run->settings, run->train->batch, false, &opt);
  return qk_exec_new (run->teacher, &opt, teacher);
}

static int
open_executor (struct qk_run *run, struct qk_exec **ex)
{
  const struct qk_config *qat = run->settings->qat,
                         *train = run->settings->train;
  char loss_options[64], teacher_options[64];
  struct qk_exec_options opt;

  qk_settings_exec_options (run->settings, run->train->batch, true, &opt);
  if (run->teacher != NULL && run->stage == QK_RUN_QAT) {
    snprintf (teacher_options, sizeof teacher_options, "temperature=%.9g",
              qk_config_float (qat, "distill_temperature"));
    opt.teacher_share = qk_config_float (qat, "distill");
    opt.teacher_loss = qk_config_string (qat, "distill_loss");
    opt.teacher_options = teacher_options;
  }
  snprintf (loss_options, sizeof loss_options, "label_smoothing=%.9g",
            qk_config_float (train, "label_smoothing"));
  if (qk_config_given (train, "label_smoothing"))
    opt.loss_options = loss_options;
  return qk_exec_new (run->g, &opt, ex);
}

static int
open_optimizer (struct qk_run *run, const struct stage *s)
{
  const struct qk_optimize_options oo = {
    s->optimizer->optimizer,
    s->optimizer->optimizer_cfg,
    s->optimizer->schedule,
    s->optimizer->schedule_cfg,
    qk_config_bool (s->optimizer->core, "decay_all"),
  };

  return qk_optimize_new (run->g, &oo, &run->o);
}

/* After an epoch.  What is evaluated may be the network being trained itself,
 * whose layers serve one executor at a time. */
static int
end_epoch (struct qk_run *run, const struct stage *s, struct qk_exec **ex)
{
  int r;

  if (run->stage != QK_RUN_QAT || !qk_graph_is_analysis (run->g))
    return s->end_epoch (run);
  qk_exec_free (*ex);
  *ex = NULL;
  r = s->end_epoch (run);
  return r < 0 ? r : open_executor (run, ex);
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
  r = qk_run_restore (run, c, false);
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

static int
train_epoch (struct qk_run *run, const struct stage *s, struct qk_exec *ex,
             struct qk_exec *teacher, int64_t batches)
{
  const int64_t epoch = run->pos.epoch, before = run->m->steps;
  struct qk_train_options opt;
  char label[64];
  float lr;
  int r;

  snprintf (label, sizeof label, "%s %lld/%lld", s->name,
            (long long) epoch + 1, (long long) s->epochs);
  memset (&opt, 0, sizeof opt);
  opt.label = label;
  opt.seed = run->settings->seed;
  opt.flags = s->begin_epoch (run, epoch);
  opt.batches = batches;
  opt.epochs = s->epochs;
  opt.teacher = teacher;
  lr = qk_optimize_lr (run->o, opt.epochs * batches, batches);
  r = qk_stage_train (ex, run->o, run->train->batches, &opt, run->m,
                      &run->pos);
  run->steps += run->m->steps - before;
  if (run->g->stage == QK_STAGE_PREPARED)
    qk_graph_set_observing (run->g, false, false);
  if (r == -EINTR)
    return stopped (run);
  if (r < 0)
    return qk_error_prefix (r, "%s: ", label);
  r = qk_monitor_event (run->m, "epoch", "s:stage", s->name, "i:epoch", epoch,
                        "f:loss", qk_metrics_loss (&run->pos.metrics),
                        "f:top1", qk_metrics_top1 (&run->pos.metrics), "f:lr",
                        (double) lr, "i:samples", run->pos.metrics.n,
                        "i:bad_samples", qk_batches_bad (run->train->batches),
                        NULL);
  if (r == 0)
    r = qk_monitor_event (
      run->m, "timing", "s:what", label, "f:seconds", run->pos.metrics.seconds,
      "f:samples_per_second", qk_metrics_speed (&run->pos.metrics),
      "f:input_wait_seconds", run->pos.metrics.waited, NULL);
  return r;
}

static int
train_stage (struct qk_run *run, const struct stage *s)
{
  struct qk_exec *ex = NULL, *teacher = NULL;
  int64_t batches;
  int r;

  if ((r = open_executor (run, &ex)) < 0 || (r = open_optimizer (run, s)) < 0
      || (r = open_teacher (run, &teacher)) < 0
      || (r = resume_optimizer (run)) < 0)
    goto end;
  batches = qk_batches_count (run->train->batches);
  if (s->batches > 0 && s->batches < batches)
    batches = s->batches;
  while (run->pos.epoch < s->epochs) {
    if ((r = train_epoch (run, s, ex, teacher, batches)) < 0
        || (r = qk_graph_check_params (run->g)) < 0)
      break;
    if ((r = end_epoch (run, s, &ex)) == -EINTR) {
      /* trained but not evaluated: continue there */
      run->pos.epoch--;
      run->pos.batch = batches;
      r = stopped (run);
    }
    if (r < 0)
      break;
    memset (&run->pos.metrics, 0, sizeof run->pos.metrics);
    if ((r = qk_run_checkpoint (run)) < 0)
      break;
  }
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

static int
float_end (struct qk_run *run)
{
  (void) run;
  return 0;
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
    w[i].name = g->param[i].name;
    w[i].tensor = &g->param[i].value;
    w[i].layout = g->param[i].spec.layout;
  }
  r = qk_run_writes (run) ? qk_weights_save (run->settings->ctx, path, NULL, w,
                                             (size_t) g->n_params, NULL, 0)
                          : 0;
  free (w);
  free (path);
  return qk_run_written (run, r);
}

static int
float_stage (struct qk_run *run)
{
  const struct stage s = {
    "train",
    qk_config_int (run->settings->train, "epochs"),
    qk_config_int (run->settings->train, "batches"),
    &run->settings->train_opt,
    float_begin,
    float_end,
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
  const struct qk_config *qat = run->settings->qat;
  const bool observe = epoch <= qk_config_int (qat, "freeze_observers_after");
  const bool stats = epoch <= qk_config_int (qat, "freeze_bn_after");

  qk_graph_set_observing (run->g, observe, observe);
  return stats ? QK_PASS_BATCH_STATS : 0;
}

/* Convert and evaluate the real int8 network; keep the best. */
static int
qat_end (struct qk_run *run)
{
  const int64_t epoch = run->pos.epoch - 1;
  struct qk_result *best = &run->result[QK_ROW_INT8], now;
  const bool analysis = qk_graph_is_analysis (run->g);
  const char *what = analysis ? "fake-quantized" : "int8";
  struct qk_graph *int8 = NULL;
  char label[64];
  int r;

  if (!analysis && (r = qk_pass_convert (run->g, &int8)) < 0)
    return r;
  snprintf (label, sizeof label, "%s %lld/%lld", what, (long long) epoch + 1,
            (long long) qk_config_int (run->settings->qat, "epochs"));
  r = qk_run_evaluate (run, analysis ? run->g : int8, label, &now);
  if (r == 0)
    qk_log (run->settings->ctx, QK_LOG_INFO,
            "epoch %lld: %s top-1 %.2f %%, top-5 %.2f %%",
            (long long) epoch + 1, what, 100 * qk_metrics_top1 (&now.metrics),
            100 * qk_metrics_top5 (&now.metrics));
  if (r == 0
      && (run->best_epoch < 0 || now.metrics.top1 > best->metrics.top1)) {
    *best = now;
    run->best_epoch = epoch;
    if (analysis
        || (r = qk_run_save_model (run, int8, "model-int8.safetensors")) == 0)
      r = qk_run_save_state (run, "best.safetensors");
  }
  qk_graph_free (int8);
  return r;
}

/* Back to the network of the best epoch, which is what the model file
 * holds. */
static int
load_best (struct qk_run *run)
{
  char *path = qk_run_path (run, "best.safetensors");
  struct qk_checkpoint *c;
  int r;

  if (path == NULL)
    return qk_oom ("run");
  if ((r = qk_checkpoint_open (run->settings->ctx, path, &c)) == 0) {
    r = qk_run_restore (run, c, true);
    qk_checkpoint_close (c);
  }
  free (path);
  return r;
}

static int
qat_stage (struct qk_run *run)
{
  const struct stage s = {
    "qat",
    qk_config_int (run->settings->qat, "epochs"),
    qk_config_int (run->settings->qat, "batches"),
    &run->settings->qat_opt,
    qat_begin,
    qat_end,
  };
  int r;

  if (s.epochs == 0)
    return 0;
  run->analysis = qk_graph_is_analysis (run->g);
  if ((r = train_stage (run, &s)) < 0 || (r = load_best (run)) < 0)
    return r;
  return qk_run_evaluate (run, run->g, qk_row_name (QK_ROW_QAT),
                          &run->result[QK_ROW_QAT]);
}

/* Tell what PTQ will quantize. */
static int
report_ptq (struct qk_run *run)
{
  struct qk_graph *p;
  int r;

  if ((r = qk_settings_prepare (run->settings, run->g, true, &p)) < 0)
    return r;
  r = qk_coverage_report (p, "PTQ", run->m);
  qk_graph_free (p);
  return r;
}

static int
ptq_stage (struct qk_run *run)
{
  struct qk_graph *int8;
  int r;

  if ((r = report_ptq (run)) < 0 || (r = qk_run_ptq (run, run->g, &int8)) < 0)
    return qk_error_prefix (r, "PTQ: ");
  r = qk_run_evaluate (
    run, int8, run->analysis ? "PTQ fake-quantized" : qk_row_name (QK_ROW_PTQ),
    &run->result[QK_ROW_PTQ]);
  if (r == 0 && run->analysis)
    qk_log (run->settings->ctx, QK_LOG_INFO,
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
  struct qk_graph *p;
  int r;

  if ((r = keep_teacher (run, run->g)) < 0
      || (r = qk_settings_prepare (run->settings, run->g, false, &p)) < 0)
    return r;
  if ((r = qk_coverage_report (p, "QAT", run->m)) < 0) {
    qk_graph_free (p);
    return r;
  }
  qk_graph_free (run->g);
  run->g = p;
  run->stage = QK_RUN_QAT;
  memset (&run->pos, 0, sizeof run->pos);
  return qk_run_checkpoint (run);
}

static int
do_parts (struct qk_run *run, unsigned parts)
{
  const int64_t epochs = qk_config_int (run->settings->qat, "epochs");
  int r;

  r = qk_monitor_event (
    run->m, "run_start", "s:model", run->settings->model_class->cls.name,
    "s:dataset", run->settings->dataset_class->cls.name, "s:backend",
    run->settings->backend_class->cls.name, "s:cpu_level",
    run->settings->caps.cpu_level, "i:seed", (int64_t) run->settings->seed,
    "i:threads", (int64_t) run->settings->threads, NULL);
  if (r < 0)
    return r;
  if (run->stage == QK_RUN_FLOAT) {
    if (((parts & QK_PART_TRAIN) && (r = float_stage (run)) < 0)
        || (r = qk_run_evaluate (run, run->g, qk_row_name (QK_ROW_FLOAT),
                                 &run->result[QK_ROW_FLOAT]))
             < 0)
      return r;
    if ((parts & QK_PART_PTQ) && (r = ptq_stage (run)) < 0)
      return r;
    if (!(parts & QK_PART_QAT) || epochs == 0)
      return qk_monitor_event (run->m, "run_end", NULL);
    if ((r = begin_qat (run)) < 0)
      return r;
  }
  if (run->stage == QK_RUN_QAT && (parts & QK_PART_QAT)
      && (r = qat_stage (run)) < 0)
    return r;
  return qk_monitor_event (run->m, "run_end", "i:best_epoch", run->best_epoch,
                           NULL);
}

int
qk_run_go (struct qk_run *run, unsigned parts)
{
  const int r = do_parts (run, parts);

  if (r != -EINTR)
    return r;
  if (run->fresh)
    return qk_error (r, "stopped before there was anything to keep");
  return qk_error (
    r, "stopped; --resume continues from the checkpoint in '%s'", run->output);
}
