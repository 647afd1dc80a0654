/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* open.c: a run is made: its folder is taken, files of an earlier run are looked
 * at, and samples, network, objective and reporters are there. */
#include "config.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic-file.h"
#include "base/called.h"
#include "plugin/loader-priv.h"
#include "run/epochs.h"
#include "run/run.h"

/* What a run in the folder has left that did not come to its end is work that
 * somebody may want. */
static int
check_unfinished (const struct qk_run *run, unsigned mode)
{
  struct qk_checkpoints *all;
  struct qk_checkpoint *c = NULL;
  int64_t steps;
  char *dir;
  int r;

  if ((mode & ~(unsigned) QK_RUN_TRAINS) != 0
      || !qk_folder_unfinished (run->folder))
    return 0;
  if ((dir = qk_run_path (run, "checkpoints")) == NULL)
    return qk_oom ("run");
  r = access (dir, F_OK) < 0
        ? -ENOENT
        : qk_checkpoints_open (run->s.settings->ctx, dir, 1, &all);
  free (dir);
  if (r < 0)
    return r == -ENOENT ? 0 : r;
  r = qk_checkpoints_newest (all, &c);
  if (r == 0 && qk_checkpoint_run_steps (c, &steps) == 0 && steps == 0)
    r = -ENOENT; /* not a step of work is lost */
  qk_checkpoint_close (c);
  qk_checkpoints_close (all);
  if (r == -ENOENT)
    return 0;
  return qk_error (-EEXIST,
                   "'%s' holds a run that was not finished: --resume "
                   "continues it, --overwrite begins anew, or give another "
                   "--output",
                   run->output);
}

/* Before hours of work: nothing is written through links. */
static int
check_links (const struct qk_run *run)
{
  static const char *const file[]
    = { "weights.safetensors",    BEST_FLOAT,
        "best.safetensors",       "model-ptq.safetensors",
        "model-int8.safetensors", "spare" };
  struct stat st;
  size_t i;
  int r = 0;

  for (i = 0; r == 0 && i < sizeof file / sizeof *file; i++) {
    char *path = qk_run_path (run, file[i]);

    if (path == NULL)
      return qk_oom ("run");
    if (lstat (path, &st) == 0 && S_ISLNK (st.st_mode))
      r = qk_error (-ELOOP,
                    "%s: is a symbolic link, expected a file or nothing; "
                    "remove it",
                    path);
    free (path);
  }
  return r;
}

/* What a run that was killed had begun to write, in its folder and among the
 * spares. */
static int
remove_leftovers (struct qk_run *run)
{
  struct qk_context *ctx = run->s.settings->ctx;
  char *spares = qk_run_path (run, "spare");
  struct stat st;
  int r;

  if (spares == NULL)
    return qk_oom ("run");
  r = qk_atomic_remove_leftovers (ctx, run->output, "");
  if (r == 0 && lstat (spares, &st) == 0 && S_ISDIR (st.st_mode))
    r = qk_atomic_remove_leftovers (ctx, spares, "");
  free (spares);
  return r;
}

/* The first process takes the folder for all. */
static int
take_folder (struct qk_run *run, unsigned mode)
{
  struct qk_context *ctx = run->s.settings->ctx;
  int r = 0;

  if (!qk_run_writes (run)) /* perhaps on another machine */
    r = qk_folder_make (run->output);
  else if ((r = qk_folder_open (ctx, run->output, &run->folder)) == 0
           && (r = check_unfinished (run, mode)) == 0
           && (r = check_links (run)) == 0)
    r = remove_leftovers (run);
  return qk_run_written (run, r);
}

static int
open_folder (struct qk_run *run, unsigned mode)
{
  char *dir;
  int r;

  run->output = strdup (qk_config_string (run->s.settings->run, "output"));
  if (run->output == NULL)
    return qk_oom ("run");
  if (*run->output == 0)
    return qk_error (-EINVAL, "%s: output is empty, expected a folder",
                     qk_config_where (run->s.settings->run, "output"));
  if ((r = take_folder (run, mode)) < 0)
    return r;
  if ((dir = qk_run_path (run, "checkpoints")) == NULL)
    return qk_oom ("run");
  r = qk_checkpoints_open (run->s.settings->ctx, dir,
                           (int) qk_config_int (run->s.settings->run, "keep"),
                           &run->checkpoints);
  free (dir);
  return r;
}

static int
open_reporter (struct qk_run *run, const struct qk_reporter_class *cls,
               const struct qk_reporter_request *req)
{
  const int i = run->s.m->n_reporters;
  struct qk_config *cfg = NULL;
  int r = qk_context_options (run->s.settings->ctx, &cls->cls, &cfg);

  if (r < 0)
    return r;
  run->s.m->reporter[i] = cls;
  r = QK_CALLED (&cls->cls, "create",
                 cls->create (cfg, req, &run->s.m->reporter_self[i]));
  qk_config_free (cfg);
  if (r == 0)
    run->s.m->n_reporters++;
  return r;
}

/* The reporter plugins of the configuration. */
static int
open_reporters (struct qk_run *run, bool resume)
{
  const struct qk_reporter_class *cls[QK_MONITOR_MAX_REPORTERS];
  const struct qk_reporter_request req = { run->output, resume };
  const int n = qk_settings_reporters (
    run->s.settings, QK_MONITOR_MAX_REPORTERS - run->s.m->n_reporters, cls);
  int i, r = 0;

  if (n < 0 || qk_comm_rank (run->s.m->comm) > 0)
    return n < 0 ? n : 0;
  for (i = 0; r == 0 && i < n; i++)
    r = open_reporter (run, cls[i], &req);
  return r;
}

/* A teacher with weights of its own is there from the start, so that a file that
 * does not fit is known before hours of float training. */
static int
open_own_teacher (struct qk_run *run)
{
  const struct qk_config *qat = run->s.settings->qat;
  int r;

  if (*qk_config_string (qat, "teacher") == 0)
    return 0;
  r = qk_session_keep_teacher (&run->s, run->g);
  if (r < 0 || run->s.teacher != NULL)
    return r;
  return qk_error (
    -EINVAL,
    "%s: [qat] teacher: neither a loss nor a metric compares with a "
    "teacher, expected one, such as distillation",
    qk_config_where (qat, "teacher"));
}

/* What the network is trained for and measured by. */
static int
open_objective (struct qk_run *run)
{
  const struct qk_config *qat = run->s.settings->qat;
  const char *best = qk_config_string (qat, "best");
  int i, r;

  r = qk_settings_objective (run->s.settings, run->g, &run->s.eval->info,
                             &run->s.objective);

  if (r < 0
      || (r = qk_tally_init (&run->pos.tally, run->s.objective, false)) < 0
      || (r = open_own_teacher (run)) < 0)
    return r;
  r = *best == '\0' ? qk_objective_first_score (run->s.objective)
                    : qk_objective_score (run->s.objective, best);
  if (r < 0)
    return qk_error_prefix (r, "%s: ", qk_config_where (qat, "best"));
  run->best = r;
  for (r = 0, i = 0; r == 0 && i < 2; i++)
    r = qk_watch_init (&run->watch[i], run->s.settings, run->s.objective,
                       i == 1);
  return r;
}

static int
start_network (struct qk_run *run, struct qk_graph **float_g)
{
  struct qk_graph *g;
  int r;

  if (run->stage == QK_RUN_FLOAT)
    r = qk_pass_fuse (*float_g, &g);
  else if ((r = qk_session_keep_teacher (&run->s, *float_g)) == 0)
    r = qk_settings_prepare_phase (run->s.settings, *float_g, run->phase, &g);
  if (r < 0)
    return r;
  qk_graph_free (*float_g);
  *float_g = g;
  return 0;
}

/* A last layer for other classes must be trained before anything else. */
static enum qk_weights_use
weights_use (const struct qk_settings *settings, unsigned mode)
{
  return (mode & QK_RUN_TRAINS)
             && qk_config_int (settings->train, "epochs") > 0
           ? QK_WEIGHTS_TRAIN
           : QK_WEIGHTS_ALL;
}

int
qk_run_new (struct qk_settings *settings, struct qk_monitor *m, unsigned mode,
            struct qk_run **out)
{
  struct qk_run *run = calloc (1, sizeof *run);
  struct qk_checkpoint *c = NULL;
  double minutes;
  int r;

  if (run == NULL)
    return qk_oom ("run");
  run->s.settings = settings;
  run->s.m = m;
  run->s.tally = &run->evaluated;
  run->best_epoch = -1;
  run->watched.best = NAN;
  run->fresh = true;
  minutes = qk_config_float (settings->run, "max_minutes");
  if (minutes > 0 && m->deadline == 0) /* of several runs together */
    m->deadline = qk_seconds () + 60 * minutes;
  if ((r = qk_session_open_splits (&run->s)) < 0
      || (r = qk_settings_build (settings, &run->s.eval->info,
                                 weights_use (settings, mode), &run->g))
           < 0
      || (r = open_objective (run)) < 0
      /* before hours of float training */
      || (r = qk_settings_check (settings, run->g, &run->s.eval->info)) < 0
      || (r = qk_run_config_text (settings->ini, false, &run->config)) < 0
      || (r = qk_run_config_text (settings->ini, true, &run->model_config)) < 0
      || (r = open_folder (run, mode)) < 0)
    goto error;
  if (mode & QK_RUN_RESUME) {
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
  if ((r = qk_run_check_samples (run, (mode & QK_RUN_RESUME) != 0,
                                 !(mode & QK_RUN_LOOK)))
        < 0
      || (c == NULL && (r = qk_run_check_last_batch (run, run->g)) < 0)
      || (r = start_network (run, &run->g)) < 0)
    goto error;
  if (c != NULL && (r = qk_restore_network (run->g, run->s.teacher, c)) < 0)
    goto error;
  if ((r = qk_run_check_network (run)) < 0)
    goto error;
  run->fresh = c == NULL;
  if (c != NULL)
    qk_log (settings->ctx, QK_LOG_INFO,
            "continuing from %s: %s, epoch %lld, batch %lld",
            qk_checkpoint_path (c),
            run->stage == QK_RUN_FLOAT ? "float training" : "QAT",
            (long long) run->pos.epoch + 1, (long long) run->pos.batch + 1);
  if (!(mode & QK_RUN_LOOK) && run->folder != NULL
      && ((r = qk_folder_begin (run->folder)) < 0
          || (r = qk_run_write_config (run)) < 0))
    goto error;
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
  qk_tally_clear (&run->pos.tally);
  qk_tally_clear (&run->evaluated);
  qk_graph_free (run->g);
  qk_session_clear (&run->s);
  qk_checkpoints_close (run->checkpoints);
  qk_folder_close (run->folder);
  free (run->config);
  free (run->model_config);
  free (run->output);
  free (run);
}
