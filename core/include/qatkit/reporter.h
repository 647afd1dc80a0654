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

/* Something that happened: "run_start", "step", "epoch", "eval", "ptq",
 * "freeze", "convert", "result", "run_end".  Borrowed for the call. */
struct qk_event {
  const char *name;
  int n;
  const struct qk_field *field;
};

struct qk_reporter_class {
  struct qk_class cls;
  /* DIR is the run's output folder, which exists. */
  int (*create) (const struct qk_config *cfg, const char *dir, void **self);
  void (*destroy) (void *self); /* accepts NULL; flushes */
  int (*event) (void *self, const struct qk_event *ev);
};

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_REPORTER_H */
