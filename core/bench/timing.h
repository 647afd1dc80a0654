/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* timing.h: seconds of many runs of the same work. */
#ifndef QK_BENCH_TIMING_H
#define QK_BENCH_TIMING_H

#include <stddef.h>

struct qk_timing {
  double *s; /* seconds, one a run; owned */
  size_t n, room;
  double total;
};

/* Keep one more; -ENOMEM. */
int qk_timing_add (struct qk_timing *t, double seconds);

/* The shortest, and the one in the middle; 0 without runs.  The median
 * sorts them. */
double qk_timing_best (const struct qk_timing *t);
double qk_timing_median (const struct qk_timing *t);

void qk_timing_clear (struct qk_timing *t);

#endif /* QK_BENCH_TIMING_H */
