/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* log.c: hands log lines to the program. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/context-priv.h"

void
qk_context_set_log (struct qk_context *ctx, qk_log_fn fn, void *cookie,
                    enum qk_log_level max)
{
  pthread_mutex_lock (&ctx->log_lock);
  ctx->log = fn;
  ctx->log_cookie = cookie;
  ctx->log_max = max;
  pthread_mutex_unlock (&ctx->log_lock);
}

void
qk_log (struct qk_context *ctx, enum qk_log_level level, const char *fmt, ...)
{
  va_list args;
  qk_log_fn fn;
  void *cookie;
  char *text, *line, *rest;
  int n;

  if (!ctx)
    return;
  pthread_mutex_lock (&ctx->log_lock);
  fn = level <= ctx->log_max ? ctx->log : NULL;
  cookie = ctx->log_cookie;
  pthread_mutex_unlock (&ctx->log_lock);
  if (!fn)
    return;
  va_start (args, fmt);
  n = vasprintf (&text, fmt, args);
  va_end (args);
  if (n < 0) {
    fn (cookie, level, "out of memory for a log line");
    return;
  }
  /* The callback gets one line a call, and is called without a lock, so that
   * it may log or change the log itself. */
  for (line = text; (rest = strchr (line, '\n')); line = rest + 1) {
    *rest = '\0';
    fn (cookie, level, line);
  }
  if (*line || line == text)
    fn (cookie, level, line);
  free (text);
}
