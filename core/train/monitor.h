/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* monitor.h: who follows a run: progress on the terminal, reporter plugins,
 * and the wish to stop. */
#ifndef QK_TRAIN_MONITOR_H
#define QK_TRAIN_MONITOR_H

#include <signal.h>

#include <qatkit/comm.h>
#include <qatkit/reporter.h>

#include "report/progress.h"
#include "train/objective.h"

#define QK_MONITOR_MAX_REPORTERS 4

struct qk_monitor {
  struct qk_progress *progress; /* borrowed; may be NULL */
  int n_reporters;
  const struct qk_reporter_class *reporter[QK_MONITOR_MAX_REPORTERS];
  void *reporter_self[QK_MONITOR_MAX_REPORTERS];
  struct qk_comm *comm; /* the processes that run together; borrowed, may be
                           NULL: then this one is alone */
  const volatile sig_atomic_t *stop; /* set: end with -EINTR; may be NULL */
  int64_t
    stop_after;  /* steps after which to act as if stop were set; 0: never */
  int64_t steps; /* training steps made */
  double
    deadline; /* qk_seconds at which to act as if stop were set; 0: never */
};

/* Whether the user wants this process to stop now. */
bool qk_monitor_stopped (const struct qk_monitor *m);

/* Tell all reporters: qk_monitor_event (m, "epoch", "i:epoch", (int64_t) 3,
 * "f:loss", 1.5, "s:stage", "qat", NULL).  Each key says its type before the
 * colon: i int64_t, f double, s const char *. */
int qk_monitor_event (struct qk_monitor *m, const char *name, ...);

/* The same with the scores S, each under its name, and the loss; the other
 * fields come first. */
int qk_monitor_scores (struct qk_monitor *m, const char *name,
                       const struct qk_objective *o, const struct qk_scores *s,
                       ...);

/* Free the reporters. */
void qk_monitor_close (struct qk_monitor *m);

#endif /* QK_TRAIN_MONITOR_H */
