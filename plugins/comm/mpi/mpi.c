/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mpi.c: processes started by mpirun or srun, joined through MPI.
 *
 * One thread of each process calls MPI (MPI_THREAD_FUNNELED).  Gradients are
 * summed by non-blocking calls; each new one gives the library the moment it
 * needs to move those before it along.
 *
 * Nobody waits for ever: when an answer is overdue, the processes that still
 * run call each other, so that the one that does not answer can be named. */
#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <mpi.h>

#include <qatkit/comm.h>

/* Seconds in which a process that runs answers a call. */
#define ANSWER 5.0
#define TAG_CALL 1

static const struct qk_option mpi_options[]
  = { { "timeout", QK_OPT_FLOAT, "1800", 0, 1e9, NULL,
        "Seconds to wait for the other processes before the run ends with the "
        "name of the one that is missing; 0 = for ever" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

struct mpi {
  MPI_Comm comm, calls; /* the work; who is there */
  int rank, size;
  double timeout;       /* 0: never */
  char *host;           /* of each process, MPI_MAX_PROCESSOR_NAME bytes */
  MPI_Request *request; /* sums on their way */
  int n, room;
};

/* The sentence MPI has for its error. */
static int
failed (const char *what, int err)
{
  char text[MPI_MAX_ERROR_STRING + 1];
  int n = 0;

  if (err == MPI_SUCCESS)
    return 0;
  if (MPI_Error_string (err, text, &n) != MPI_SUCCESS)
    n = 0;
  return qk_error (-EIO, "%s: %.*s", what, n, text);
}

static double
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

/* Call all others and wait a little for their calls, who have waited as long:
 * the first process that does not call, -1 if all do. */
static int
find_missing (struct mpi *m)
{
  MPI_Request *r = calloc (2 * (size_t) m->size, sizeof *r);
  const double until = now () + ANSWER;
  int *heard = calloc ((size_t) m->size, sizeof *heard);
  int i, done = 0, mine = 1, missing = -1;

  if (r == NULL || heard == NULL)
    goto end;
  for (i = 0; i < m->size; i++)
    r[2 * i] = r[2 * i + 1] = MPI_REQUEST_NULL;
  for (i = 0; i < m->size; i++)
    if (i != m->rank) {
      MPI_Irecv (&heard[i], 1, MPI_INT, i, TAG_CALL, m->calls, &r[2 * i]);
      MPI_Isend (&mine, 1, MPI_INT, i, TAG_CALL, m->calls, &r[2 * i + 1]);
    }
  while (!done && now () < until)
    MPI_Testall (2 * m->size, r, &done, MPI_STATUSES_IGNORE);
  for (i = m->size - 1; i >= 0; i--)
    if (i != m->rank && heard[i] == 0)
      missing = i;
  if (missing >= 0)
    return missing; /* MPI may still write there: the process ends now */
end:
  free (heard);
  free (r);
  return missing;
}

/* Nothing came for too long. */
static int
overdue (struct mpi *m, const char *what)
{
  const int missing = find_missing (m);

  if (missing < 0)
    return qk_error (-ETIMEDOUT,
                     "%s took more than %g s (timeout), though all processes "
                     "are there",
                     what, m->timeout);
  return qk_error (
    -ETIMEDOUT,
    "process %d on %s has not answered for %g s (timeout): it "
    "is stopped, or the link to it is broken",
    missing, m->host + (size_t) missing * MPI_MAX_PROCESSOR_NAME, m->timeout);
}

/* Wait for the N requests of WHAT, which left ERR. */
static int
wait_for (struct mpi *m, int err, const char *what, int n,
          MPI_Request *request)
{
  const double until = m->timeout > 0 ? now () + m->timeout : 0;
  int done = 0;
  unsigned turn;

  for (turn = 1; err == MPI_SUCCESS && !done; turn++) {
    err = MPI_Testall (n, request, &done, MPI_STATUSES_IGNORE);
    if (!done && until > 0 && turn % 64 == 0 && now () > until)
      return overdue (m, what);
  }
  return failed (what, err);
}

static void
mpi_destroy (void *self)
{
  struct mpi *m = self;

  if (m == NULL)
    return;
  MPI_Comm_free (&m->calls);
  MPI_Comm_free (&m->comm);
  MPI_Finalize ();
  free (m->request);
  free (m->host);
  free (m);
}

/* Where each process runs. */
static int
learn_hosts (struct mpi *m)
{
  char mine[MPI_MAX_PROCESSOR_NAME] = "";
  int n;

  m->host = calloc ((size_t) m->size, MPI_MAX_PROCESSOR_NAME);
  if (m->host == NULL)
    return qk_oom ("mpi");
  MPI_Get_processor_name (mine, &n);
  return failed ("MPI_Allgather",
                 MPI_Allgather (mine, MPI_MAX_PROCESSOR_NAME, MPI_CHAR,
                                m->host, MPI_MAX_PROCESSOR_NAME, MPI_CHAR,
                                m->comm));
}

static int
mpi_create (const struct qk_config *cfg, void **self, int *rank, int *size)
{
  struct mpi *m;
  int done, level, r;

  MPI_Initialized (&done);
  if (done)
    return qk_error (-EBUSY, "MPI was initialised before, expected once in a "
                             "process");
  if ((m = calloc (1, sizeof *m)) == NULL)
    return qk_oom ("mpi");
  m->timeout = qk_config_float (cfg, "timeout");
  r = MPI_Init_thread (NULL, NULL, MPI_THREAD_FUNNELED, &level);
  if (r != MPI_SUCCESS) {
    free (m);
    return failed ("MPI_Init_thread", r);
  }
  if ((r = failed ("MPI_Comm_dup", MPI_Comm_dup (MPI_COMM_WORLD, &m->comm)))
        < 0
      || (r
          = failed ("MPI_Comm_dup", MPI_Comm_dup (MPI_COMM_WORLD, &m->calls)))
           < 0) {
    MPI_Finalize ();
    free (m);
    return r;
  }
  if (level < MPI_THREAD_FUNNELED)
    r = qk_error (-ENOTSUP,
                  "this MPI offers thread level %d, expected at "
                  "least %d (MPI_THREAD_FUNNELED)",
                  level, MPI_THREAD_FUNNELED);
  if (r == 0) {
    MPI_Comm_set_errhandler (m->comm, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler (m->calls, MPI_ERRORS_RETURN);
    MPI_Comm_rank (m->comm, &m->rank);
    MPI_Comm_size (m->comm, &m->size);
    r = learn_hosts (m);
  }
  if (r == 0) {
    *rank = m->rank;
    *size = m->size;
    *self = m;
    return 0;
  }
  mpi_destroy (m);
  return r;
}

static int
check_count (size_t count)
{
  return count <= INT_MAX ? 0
                          : qk_error (-E2BIG,
                                      "%zu elements in one message, "
                                      "expected at most %d",
                                      count, INT_MAX);
}

static int
mpi_reduce (void *self, enum qk_comm_op op, enum qk_comm_type type, void *data,
            size_t count)
{
  static const MPI_Op ops[] = {
    [QK_COMM_SUM] = MPI_SUM, [QK_COMM_MIN] = MPI_MIN, [QK_COMM_MAX] = MPI_MAX
  };
  struct mpi *m = self;
  MPI_Request request = MPI_REQUEST_NULL;
  int r = check_count (count);

  if (r < 0)
    return r;
  r = MPI_Iallreduce (MPI_IN_PLACE, data, (int) count,
                      type == QK_COMM_F32 ? MPI_FLOAT : MPI_DOUBLE, ops[op],
                      m->comm, &request);
  return wait_for (m, r, "MPI_Iallreduce", 1, &request);
}

static int
mpi_start (void *self, float *data, size_t count)
{
  struct mpi *m = self;
  int flag, r = check_count (count);

  if (r < 0)
    return r;
  if (m->n == m->room) {
    const int room = m->room > 0 ? 2 * m->room : 32;
    MPI_Request *p = realloc (m->request, (size_t) room * sizeof *p);

    if (p == NULL)
      return qk_oom ("mpi");
    m->request = p;
    m->room = room;
  }
  r = failed ("MPI_Iallreduce",
              MPI_Iallreduce (MPI_IN_PLACE, data, (int) count, MPI_FLOAT,
                              MPI_SUM, m->comm, &m->request[m->n]));
  if (r < 0)
    return r;
  m->n++;
  return failed ("MPI_Testall",
                 MPI_Testall (m->n, m->request, &flag, MPI_STATUSES_IGNORE));
}

static int
mpi_wait (void *self)
{
  struct mpi *m = self;
  const int n = m->n;

  m->n = 0;
  return wait_for (m, MPI_SUCCESS, "MPI_Iallreduce", n, m->request);
}

static int
mpi_gather (void *self, const void *data, size_t bytes, size_t *sizes,
            void *out)
{
  struct mpi *m = self;
  MPI_Request request = MPI_REQUEST_NULL;
  unsigned long mine = bytes, *all;
  int *count, *at, i, r = check_count (bytes);
  size_t total = 0;

  all = calloc ((size_t) m->size, sizeof *all);
  count = calloc ((size_t) m->size, sizeof *count);
  at = calloc ((size_t) m->size, sizeof *at);
  if (r == 0 && (all == NULL || count == NULL || at == NULL))
    r = qk_oom ("mpi");
  if (r == 0)
    r = wait_for (m,
                  MPI_Iallgather (&mine, 1, MPI_UNSIGNED_LONG, all, 1,
                                  MPI_UNSIGNED_LONG, m->comm, &request),
                  "MPI_Iallgather", 1, &request);
  for (i = 0; r == 0 && i < m->size; i++) {
    sizes[i] = all[i];
    count[i] = (int) all[i];
    at[i] = (int) total;
    total += all[i];
    r = check_count (total);
  }
  if (r == 0 && out != NULL)
    r = wait_for (m,
                  MPI_Iallgatherv (data, (int) bytes, MPI_BYTE, out, count, at,
                                   MPI_BYTE, m->comm, &request),
                  "MPI_Iallgatherv", 1, &request);
  free (all);
  free (count);
  free (at);
  return r;
}

static void
mpi_abort (void *self)
{
  struct mpi *m = self;

  MPI_Abort (m->comm, 1);
}

/* What tells of other processes: Open MPI, MPICH and its kin, PMIx launchers
 * such as srun --mpi=pmix. */
#define SIZE_OPENMPI "OMPI_COMM_WORLD_SIZE"
#define SIZE_PMI "PMI_SIZE"
#define SIZE_MPICH "MPI_LOCALNRANKS"
#define RANK_PMIX "PMIX_RANK"
#define MPI_LAUNCHERS SIZE_OPENMPI " " SIZE_PMI " " SIZE_MPICH " " RANK_PMIX

static bool
mpi_probe (void)
{
  static const char *const size[] = { SIZE_OPENMPI, SIZE_PMI, SIZE_MPICH };
  const char *value;
  size_t i;

  for (i = 0; i < sizeof size / sizeof *size; i++)
    if ((value = getenv (size[i])) != NULL && atoi (value) > 1)
      return true;
  return getenv (RANK_PMIX) != NULL;
}

static const struct qk_comm_class mpi = {
  .cls = QK_CLASS_DEFAULT (struct qk_comm_class, QK_KIND_COMM, "mpi",
                           "Processes started by mpirun or srun", mpi_options,
                           100, 0, MPI_LAUNCHERS),
  .create = mpi_create,
  .destroy = mpi_destroy,
  .reduce = mpi_reduce,
  .start = mpi_start,
  .wait = mpi_wait,
  .gather = mpi_gather,
  .abort = mpi_abort,
  .probe = mpi_probe,
};

QK_PLUGIN ("mpi", "1.0", "LGPL-2.1-or-later", &mpi.cls);
