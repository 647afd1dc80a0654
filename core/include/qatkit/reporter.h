/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reporter.h: plugins that record what happens during a run. */
#ifndef QATKIT_REPORTER_H
#define QATKIT_REPORTER_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

enum qk_field_type { QK_FIELD_INT = 1, QK_FIELD_FLOAT, QK_FIELD_STRING };

struct qk_field {
  const char *key;
  enum qk_field_type type;
  int64_t i;
  double f;
  const char *s;
};

/* Something that happened: "run_start", "epoch", "eval", "run_end", and
 * "timing" for how long it took.  Borrowed for the call. */
struct qk_event {
  const char *name;
  int n;
  const struct qk_field *field;
  bool timing; /* tells of the clock; all other events are the same in every
                  run of the same configuration, and so should be a log */
};

/* Facts about the run, borrowed for create. */
struct qk_reporter_request {
  const char *dir; /* the run's output folder, which exists */
  bool resume;     /* the run goes on: keep what was written before */
};

struct qk_reporter_class {
  struct qk_class cls;
  int (*create) (const struct qk_config *cfg,
                 const struct qk_reporter_request *req, void **self);
  void (*destroy) (void *self); /* accepts NULL; flushes */
  int (*event) (void *self, const struct qk_event *ev);
};

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_REPORTER_H */
