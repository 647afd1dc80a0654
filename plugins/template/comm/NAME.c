/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: joins processes through files in a folder that all of them see; slow,
 * but it needs no launcher and no network but a shared disk.  Start the same
 * run as many times as SIZE says, each with a rank of its own:
 *
 *   [run]
 *   comm = ./NAME.so
 *
 *   [comm NAME]
 *   folder = /shared/run
 *   size = 2
 *
 *   qatkit run FILE.ini -o "comm NAME:rank=0" &
 *   qatkit run FILE.ini -o "comm NAME:rank=1" */
#define _POSIX_C_SOURCE 200809L /* strdup, nanosleep */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <qatkit/comm.h>

struct NAME {
  char *folder;
  int rank, size;
  double timeout; /* seconds */
  long step;      /* exchanges so far */
};

static const struct qk_option NAME_options[]
  = { { "folder", QK_OPT_PATH, ".", 0, 0, NULL,
        "Folder of the exchange, empty at first" },
      { "rank", QK_OPT_INT, "0", 0, 4095, NULL, "Number of this process" },
      { "size", QK_OPT_INT, "1", 1, 4096, NULL, "Number of processes" },
      { "timeout", QK_OPT_FLOAT, "60", 0.1, 1e6, NULL,
        "Seconds to wait for another process" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static void
NAME_path (const struct NAME *c, long step, int rank, const char *end,
           char *path, size_t size)
{
  snprintf (path, size, "%s/%ld.%d%s", c->folder, step, rank, end);
}

/* Once in a process, before all else.  Every process must call what follows in
 * the same order and get the same bytes. */
static int
NAME_create (const struct qk_config *cfg, void **self, int *rank, int *size)
{
  struct NAME *c = calloc (1, sizeof *c);

  *rank = (int) qk_config_int (cfg, "rank");
  *size = (int) qk_config_int (cfg, "size");
  if (c == NULL
      || (c->folder = strdup (qk_config_string (cfg, "folder"))) == NULL) {
    free (c);
    return qk_oom ("NAME");
  }
  c->rank = *rank;
  c->size = *size;
  c->timeout = qk_config_float (cfg, "timeout");
  *self = c;
  return 0;
}

/* At the end: the others may still read this process's last file. */
static void
NAME_destroy (void *self)
{
  struct NAME *c = self;

  if (c != NULL)
    free (c->folder);
  free (c);
}

/* This process's bytes of the step: under another name first, so that no one
 * sees half of them. */
static int
NAME_put (const struct NAME *c, const void *data, size_t bytes)
{
  char part[4096], path[4096];
  FILE *f;
  bool bad;

  NAME_path (c, c->step, c->rank, ".part", part, sizeof part);
  NAME_path (c, c->step, c->rank, "", path, sizeof path);
  f = fopen (part, "w");
  bad = f == NULL || fwrite (data, 1, bytes, f) != bytes;
  if (f != NULL && fclose (f) != 0)
    bad = true;
  if (bad || rename (part, path) < 0)
    return qk_error (-EIO, "cannot write %s: %s", path, strerror (errno));
  return 0;
}

/* Open the file of process RANK, waiting for it. */
static int
NAME_get (const struct NAME *c, int rank, FILE **out)
{
  const struct timespec pause = { 0, 1000000 };
  double waited = 0;
  char path[4096];

  NAME_path (c, c->step, rank, "", path, sizeof path);
  while ((*out = fopen (path, "r")) == NULL && waited < c->timeout) {
    nanosleep (&pause, NULL);
    waited += 0.001;
  }
  return *out != NULL
           ? 0
           : qk_error (-ETIMEDOUT, "no %s after %g seconds", path, c->timeout);
}

/* The step is over.  That all files of it are there says that everybody is
 * done with the one before. */
static void
NAME_next (struct NAME *c)
{
  char path[4096];

  if (c->step > 0) {
    NAME_path (c, c->step - 1, c->rank, "", path, sizeof path);
    unlink (path);
  }
  c->step++;
}

static double
NAME_join (enum qk_comm_op op, double a, double b)
{
  if (op == QK_COMM_SUM)
    return a + b;
  /* a NaN wins, whoever has it */
  if (op == QK_COMM_MIN)
    return a < b || a != a ? a : b;
  return a > b || a != a ? a : b;
}

static void
NAME_join_all (enum qk_comm_op op, enum qk_comm_type type, void *to,
               const void *from, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (type == QK_COMM_F32)
      ((float *) to)[i] = (float) NAME_join (
        op, (double) ((float *) to)[i], (double) ((const float *) from)[i]);
    else
      ((double *) to)[i]
        = NAME_join (op, ((double *) to)[i], ((const double *) from)[i]);
}

/* Several times in each step of training, from one thread: element by element
 * over all processes.  Added up in the order of the ranks, so that all get the
 * same bytes. */
static int
NAME_reduce (void *self, enum qk_comm_op op, enum qk_comm_type type,
             void *data, size_t count)
{
  struct NAME *c = self;
  const size_t bytes = count * (type == QK_COMM_F32 ? 4 : 8);
  void *other = malloc (bytes + 1);
  int r = other != NULL ? NAME_put (c, data, bytes) : qk_oom ("NAME");

  for (int i = 0; r == 0 && i < c->size; i++) {
    FILE *f;

    if ((r = NAME_get (c, i, &f)) < 0)
      break;
    if (fread (other, 1, bytes, f) != bytes)
      r = qk_error (-EBADMSG, "process %d has sent too little", i);
    fclose (f);
    if (r == 0 && i == 0)
      memcpy (data, other, bytes);
    else if (r == 0)
      NAME_join_all (op, type, data, other, count);
  }
  free (other);
  NAME_next (c);
  return r;
}

/* The bytes of all processes one after the other, or (OUT NULL) how many each
 * has. */
static int
NAME_gather (void *self, const void *data, size_t bytes, size_t *sizes,
             void *out)
{
  struct NAME *c = self;
  char *to = out;
  int r = NAME_put (c, data, bytes);

  for (int i = 0; r == 0 && i < c->size; i++) {
    FILE *f;

    if ((r = NAME_get (c, i, &f)) < 0)
      break;
    if (to == NULL)
      sizes[i] = fseek (f, 0, SEEK_END) == 0 ? (size_t) ftell (f) : 0;
    else if (fread (to, 1, sizes[i], f) != sizes[i])
      r = qk_error (-EBADMSG, "process %d has sent too little", i);
    else
      to += sizes[i];
    fclose (f);
  }
  NAME_next (c);
  return r;
}

/* Optional slots left out: start and wait, which sum gradients while training
 * goes on (default: reduce); abort, which ends the others when this one fails
 * (here they stop by their timeout); probe, whether a launcher started this
 * process, for a comm plugin that is chosen by itself. */
static const struct qk_comm_class NAME_class = {
  .cls = QK_CLASS (struct qk_comm_class, QK_KIND_COMM, "NAME",
                   "Processes joined by files in a folder", NAME_options),
  .create = NAME_create,
  .destroy = NAME_destroy,
  .reduce = NAME_reduce,
  .gather = NAME_gather,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
