/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* progress.h: shows on stderr how far a long settings is. */
#ifndef QK_REPORT_PROGRESS_H
#define QK_REPORT_PROGRESS_H

#include <stdio.h>

#include "qatkit/base.h"

enum qk_progress_mode {
  QK_PROGRESS_AUTO,  /* a bar on a terminal, lines elsewhere */
  QK_PROGRESS_BAR,   /* one line drawn again and again */
  QK_PROGRESS_LINES, /* a line every few seconds and at the end */
  QK_PROGRESS_QUIET  /* nothing */
};

struct qk_progress;

/* Show on OUT, which is borrowed; free with qk_progress_free.  NULL when out
 * of memory; every function accepts NULL and shows nothing. */
struct qk_progress *qk_progress_new (FILE *out, enum qk_progress_mode mode);
void qk_progress_free (struct qk_progress *p);

/* Seconds from now on come from FN, which counts up; for tests. */
void qk_progress_set_clock (struct qk_progress *p, double (*fn) (void *),
                            void *cookie);

/* A settings of TOTAL samples (0: unknown) starts; LABEL is copied. */
void qk_progress_begin (struct qk_progress *p, const char *label,
                        int64_t total);
/* DONE of them are finished; LOSS NaN: there is none to show.  Draws ten
 * times a second at most, so call it as often as you like. */
void qk_progress_update (struct qk_progress *p, int64_t done, double loss);
/* The settings is over (or given up): the last state stays visible. */
void qk_progress_end (struct qk_progress *p);

/* Take the bar away so that something else can be printed; it comes back
 * with the next update. */
void qk_progress_clear (struct qk_progress *p);

#endif /* QK_REPORT_PROGRESS_H */
