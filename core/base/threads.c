/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* threads.c: how many threads compute, and whether so many can be started. */
#include "config.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "base/threads.h"
#include "qatkit/base.h"

/* All are there at once: each waits until the gate opens. */
static void *
wait_at (void *gate)
{
  pthread_mutex_lock (gate);
  pthread_mutex_unlock (gate);
  return NULL;
}

int
qk_threads_try (int n)
{
  pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
  pthread_t *thread = calloc ((size_t) n, sizeof *thread);
  sigset_t all, old;
  int i, err = 0, started = 0;

  if (thread == NULL)
    return qk_oom ("%d threads", n);
  sigfillset (&all); /* signals are not their business */
  pthread_sigmask (SIG_SETMASK, &all, &old);
  pthread_mutex_lock (&gate);
  while (started < n
         && (err = pthread_create (&thread[started], NULL, wait_at, &gate))
              == 0)
    started++;
  pthread_mutex_unlock (&gate);
  for (i = 0; i < started; i++)
    pthread_join (thread[i], NULL);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  free (thread);
  return err == 0
           ? 0
           : qk_error (-err, "%d threads cannot be started here, only %d: %s",
                       n, started, strerror (err));
}

int
qk_threads_limit (int n)
{
  int before = 1;

#ifdef _OPENMP
  before = omp_get_max_threads ();
  if (n != before)
    omp_set_num_threads (n); /* of the calling thread alone */
#endif
  (void) n;
  return before;
}
