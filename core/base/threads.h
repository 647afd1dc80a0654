/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* threads.h: whether so many threads can be started. */
#ifndef QK_THREADS_H
#define QK_THREADS_H

/* Start N threads at once, which do nothing, and end them: what OpenMP would
 * find out later, and end the process for.  -EAGAIN or the like, with the
 * number that could be started, where they are too many. */
int qk_threads_try (int n);

#endif /* QK_THREADS_H */
