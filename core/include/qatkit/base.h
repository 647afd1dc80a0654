/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* base.h: export marks, errors and log; every other public header includes it. */
#ifndef QATKIT_BASE_H
#define QATKIT_BASE_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define QK_PUBLIC __attribute__ ((visibility ("default")))
#define QK_PRINTF(fmt, args) __attribute__ ((format (printf, fmt, args)))
#else
#define QK_PUBLIC
#define QK_PRINTF(fmt, args)
#endif

struct qk_context;

/* ---- errors ----------------------------------------------------------
 * Functions return 0 (or a count) on success and a negative errno value on
 * failure.  The place that detects a fault writes the sentence, with the
 * values found and expected; callers only pass the number on:
 *
 *     return qk_error (-EINVAL, "conv2d: stride must be > 0, got %d", s);
 *
 * The sentence is kept per thread, as errno is, until the next one.
 */

/* Record the sentence and return ERR (a negative errno value). */
QK_PUBLIC int qk_error (int err, const char *fmt, ...) QK_PRINTF (2, 3);

/* Put a prefix ("where: ") before the sentence recorded last; returns ERR.
 * For callers that know the file, node or section the fault belongs to. */
QK_PUBLIC int qk_error_prefix (int err, const char *fmt, ...) QK_PRINTF (2, 3);

/* Record that there was no memory for what FMT names ("weights of '%s'") and
 * return -ENOMEM. */
QK_PUBLIC int qk_oom (const char *fmt, ...) QK_PRINTF (1, 2);

/* The sentence recorded last in this thread; "" if none.  Borrowed, valid
 * until the next qk_error in this thread. */
QK_PUBLIC const char *qk_error_message (void);

/* ---- text ------------------------------------------------------------*/

/* A copy of TEXT, to be freed, in which U+FFFD stands for every byte that is
 * not UTF-8: names of files may hold any.  NULL when out of memory. */
QK_PUBLIC char *qk_utf8 (const char *text);

/* ---- log -------------------------------------------------------------*/

enum qk_log_level {
  QK_LOG_ERROR = 0,
  QK_LOG_WARNING = 1,
  QK_LOG_INFO = 2,
  QK_LOG_DEBUG = 3
};

/* Receives one line without the newline.  Borrowed for the call. */
typedef void (*qk_log_fn) (void *cookie, enum qk_log_level level,
                           const char *message);

/* Write a log line; CTX may be NULL (the line is dropped). */
QK_PUBLIC void qk_log (struct qk_context *ctx, enum qk_log_level level,
                       const char *fmt, ...) QK_PRINTF (3, 4);

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_BASE_H */
