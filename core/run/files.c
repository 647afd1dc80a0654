/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* files.c: what a run has written, once more where it is lost: best.safetensors
 * and the float weights have a spare each, from which the models follow. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic-file.h"
#include "io/weights.h"
#include "model/modelfile.h"
#include "run/run.h"

#define BEST "best.safetensors"
#define WEIGHTS "weights.safetensors"
#define PTQ "model-ptq.safetensors"
#define INT8 "model-int8.safetensors"

/* ---- spares ------------------------------------------------------------------ */

/* DIR/spare/BASE for PATH, which is DIR/BASE; to be freed. */
static char *
spare_of (const char *path)
{
  const char *slash = strrchr (path, '/');
  const int dir = slash != NULL ? (int) (slash + 1 - path) : 0;
  char *spare;

  if (asprintf (&spare, "%.*sspare/%s", dir, path, path + dir) < 0) {
    qk_oom ("%s", path);
    return NULL;
  }
  return spare;
}

/* Fills the new file from the descriptor that ARG points to. */
static int
fill_from (int fd, void *arg)
{
  const int from = *(const int *) arg;
  char buffer[65536];
  ssize_t n;
  int r = 0;

  while (r == 0 && (n = read (from, buffer, sizeof buffer)) != 0) {
    if (n < 0 && errno == EINTR)
      continue;
    r = n < 0 ? qk_error (-errno, "cannot read: %s", strerror (errno))
              : qk_write_all (fd, buffer, (size_t) n);
  }
  return r;
}

static int
copy_file (const char *from, const char *to)
{
  int fd = open (from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  int r;

  if (fd < 0)
    return qk_error (-errno, "%s: cannot open: %s", from, strerror (errno));
  r = qk_atomic_write (to, fill_from, &fd);
  close (fd);
  return r;
}

int
qk_run_keep_spare (struct qk_run *run, const char *file)
{
  char *path = qk_run_path (run, file), *dir = qk_run_path (run, "spare");
  char *spare = path != NULL ? spare_of (path) : NULL;
  struct stat st;
  int r = 0;

  if (dir == NULL || spare == NULL)
    r = qk_oom ("run");
  else if (qk_run_writes (run)) {
    if (mkdir (dir, 0777) < 0 && errno != EEXIST)
      r = qk_error (-errno, "cannot make folder '%s': %s", dir,
                    strerror (errno));
    else if (lstat (dir, &st) == 0 && S_ISLNK (st.st_mode))
      r = qk_error (-ELOOP,
                    "%s: is a symbolic link, expected a folder or nothing; "
                    "remove it",
                    dir);
    else
      r = copy_file (path, spare);
  }
  free (spare);
  free (dir);
  free (path);
  return qk_run_written (run, r);
}

int
qk_run_open_best (struct qk_context *ctx, const char *path,
                  struct qk_checkpoint **out)
{
  int r = qk_checkpoint_open (ctx, path, out);
  char *spare;

  if (r != -EBADMSG && r != -EIO && r != -ENOENT)
    return r;
  if ((spare = spare_of (path)) == NULL)
    return -ENOMEM;
  if (access (spare, R_OK) == 0) {
    qk_log (ctx, QK_LOG_WARNING, "%s; using '%s'", qk_error_message (), spare);
    r = qk_checkpoint_open (ctx, spare, out);
  }
  free (spare);
  return r;
}

/* What cannot be written again is no reason not to go on. */
static void
note (struct qk_run *run, int r)
{
  if (r < 0)
    qk_log (run->s.settings->ctx, QK_LOG_WARNING, "%s", qk_error_message ());
}

/* ---- what is lost -------------------------------------------------------------- */

/* Whether FILE, which CHECK opens, has to be written again. */
static bool
is_lost (struct qk_run *run, const char *file,
         int (*check) (struct qk_context *ctx, const char *path))
{
  char *path = qk_run_path (run, file);
  const bool lost = path != NULL && check (run->s.settings->ctx, path) < 0;

  if (lost)
    qk_log (run->s.settings->ctx, QK_LOG_WARNING, "%s; to be written again",
            qk_error_message ());
  free (path);
  return lost;
}

static int
check_tensors (struct qk_context *ctx, const char *path)
{
  struct qk_tensorfile *f = NULL;
  const int r = qk_tensorfile_open (ctx, path, NULL, &f);

  if (r == 0)
    qk_tensorfile_close (f);
  return r;
}

static int
check_checkpoint (struct qk_context *ctx, const char *path)
{
  struct qk_checkpoint *c = NULL;
  const int r = qk_checkpoint_open (ctx, path, &c);

  if (r == 0)
    qk_checkpoint_close (c);
  return r;
}

static int
check_model (struct qk_context *ctx, const char *path)
{
  struct qk_model *m = NULL;
  const int r = qk_model_load (ctx, path, &m);

  if (r == 0)
    qk_model_free (m);
  return r;
}

/* A spare SPARE of FILE that is lost, from FILE. */
static void
renew (struct qk_run *run, const char *file, const char *spare,
       int (*check) (struct qk_context *ctx, const char *path))
{
  if (is_lost (run, spare, check))
    note (run, qk_run_keep_spare (run, file));
}

/* FILE from its spare. */
static int
restore (struct qk_run *run, const char *file)
{
  char *path = qk_run_path (run, file);
  char *spare = path != NULL ? spare_of (path) : NULL;
  int r = spare != NULL ? copy_file (spare, path) : qk_oom ("run");

  free (spare);
  free (path);
  return r < 0 ? qk_error_prefix (r, "%s is lost, and so is its spare: ", file)
               : 0;
}

/* The float network of the run, from before QAT. */
static int
float_network (struct qk_run *run, struct qk_graph **out)
{
  const bool trained = qk_config_int (run->s.settings->train, "epochs") > 0;
  char *path = qk_run_path (run, WEIGHTS);
  struct qk_graph *g = NULL;
  int r
    = path == NULL
        ? qk_oom ("run")
        : qk_settings_build (run->s.settings, &run->s.eval->info,
                             trained ? QK_WEIGHTS_NONE : QK_WEIGHTS_ALL, &g);

  if (r == 0 && trained)
    r = qk_settings_load_weights (run->s.settings, g, path);
  if (r == 0)
    r = qk_pass_fuse (g, out);
  qk_graph_free (g);
  free (path);
  return r;
}

static int
write_ptq (struct qk_run *run)
{
  struct qk_graph *g = NULL, *int8 = NULL;
  bool analysis = false;
  int r;

  if ((r = float_network (run, &g)) == 0
      && (r = qk_session_ptq (&run->s, g, &int8, &analysis)) == 0 && !analysis)
    r = qk_run_save_model (run, int8, PTQ);
  qk_graph_free (int8);
  qk_graph_free (g);
  return r < 0 ? qk_error_prefix (r, "%s: ", PTQ) : 0;
}

static int
write_int8 (struct qk_run *run)
{
  char *path = qk_run_path (run, BEST);
  struct qk_checkpoint *c = NULL;
  struct qk_graph *p = NULL, *g = NULL, *int8 = NULL;
  int r = path == NULL ? qk_oom ("run")
                       : qk_checkpoint_open (run->s.settings->ctx, path, &c);

  if (r == 0
      && (r = qk_settings_build (run->s.settings, &run->s.eval->info,
                                 QK_WEIGHTS_NONE, &g))
           == 0
      && (r = qk_settings_prepare (run->s.settings, g, false, &p)) == 0
      && (r = qk_restore_network (p, NULL, c)) == 0
      && (r = qk_pass_convert (p, &int8)) == 0)
    r = qk_run_save_model (run, int8, INT8);
  qk_graph_free (int8);
  qk_graph_free (p);
  qk_graph_free (g);
  qk_checkpoint_close (c);
  free (path);
  return r < 0 ? qk_error_prefix (r, "%s: ", INT8) : 0;
}

/* Whether the int8 networks are in files: weights alone have no int8 form. */
static bool
has_models (const struct qk_run *run)
{
  return run->g->stage == QK_STAGE_PREPARED && !qk_graph_is_analysis (run->g);
}

void
qk_run_repair (struct qk_run *run, unsigned parts)
{
  const bool trained = (parts & QK_PART_TRAIN)
                       && qk_config_int (run->s.settings->train, "epochs") > 0;

  if (run->stage == QK_RUN_FLOAT || qk_comm_size (run->s.m->comm) > 1)
    return;
  if (trained && is_lost (run, WEIGHTS, check_tensors))
    note (run, restore (run, WEIGHTS));
  else if (trained)
    renew (run, WEIGHTS, "spare/" WEIGHTS, check_tensors);
  if (run->best_epoch >= 0 && is_lost (run, BEST, check_checkpoint))
    note (run, restore (run, BEST));
  else if (run->best_epoch >= 0)
    renew (run, BEST, "spare/" BEST, check_checkpoint);
  if (run->best_epoch >= 0 && has_models (run)
      && is_lost (run, INT8, check_model))
    note (run, write_int8 (run));
  if ((parts & QK_PART_PTQ) && run->result[QK_ROW_PTQ].valid
      && has_models (run) && is_lost (run, PTQ, check_model))
    note (run, write_ptq (run));
}
