/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* context-priv.h: what a context holds. */
#ifndef QK_BASE_CONTEXT_PRIV_H
#define QK_BASE_CONTEXT_PRIV_H

#include <pthread.h>

#include "qatkit/context.h"

/* Plugins loaded by this context, and where options of theirs stand; see
 * plugin/loader-priv.h. */
struct qk_loaded;
struct qk_option_source;
struct qk_class;

struct qk_context {
  pthread_mutex_t log_lock; /* guards the next three */
  qk_log_fn log;
  void *log_cookie;
  enum qk_log_level log_max;

  pthread_mutex_t plugin_lock; /* guards the rest */
  char **dirs;                 /* NULL-terminated, in order of search */
  struct qk_loaded *loaded;    /* a list, newest first */
  bool only_given;             /* paths of plugins must be in the next */
  char **given;                /* NULL-terminated, or NULL */

  struct qk_option_source *options; /* a list, newest first */
  /* see qk_context_use_float */
  bool float_chosen;
  const struct qk_class *float_backend;
};

#endif /* QK_BASE_CONTEXT_PRIV_H */
