/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* threads.h: how many threads compute, and whether so many can be started. */
#ifndef QK_THREADS_H
#define QK_THREADS_H

/* Start N threads at once, which do nothing, and end them: what OpenMP would
 * find out later, and end the process for.  -EAGAIN or the like, with the
 * number that could be started, where they are too many. */
int qk_threads_try (int n);

/* Loops of plugins and libraries that say nothing of threads take up to N from
 * now on, where the calling thread enters them; as many as OpenMP has for the
 * machine otherwise, whatever the executor was told.  What was in force before,
 * to be given back the same way. */
int qk_threads_limit (int n);

#endif /* QK_THREADS_H */
