/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checkpoints.h: a folder of checkpoints, of which the newest sound one can
 * be found again after any accident. */
#ifndef QK_IO_CHECKPOINTS_H
#define QK_IO_CHECKPOINTS_H

#include "io/tensorfile.h"

/* What is kept is the caller's to decide; these numbers say how it is kept.
 * A reader takes files of its own major and any minor. */
#define QK_CHECKPOINT_MAJOR 1
#define QK_CHECKPOINT_MINOR 0

#define QK_CHECKPOINT_MAX_NUMBER 999999999

/* ---- one file --------------------------------------------------------*/

struct qk_checkpoint;

/* Open PATH and verify version and checksum; to be freed with
 * qk_checkpoint_close.  -EBADMSG: damaged, with both checksums;
 * -ENOTSUP: written by a newer major version, with both numbers. */
int qk_checkpoint_open (struct qk_context *ctx, const char *path,
                        struct qk_checkpoint **out);
/* The same where PATH says that it is a checkpoint: 1.  0: it is something else,
 * or cannot be read. */
int qk_checkpoint_find (struct qk_context *ctx, const char *path,
                        struct qk_checkpoint **out);
void qk_checkpoint_close (struct qk_checkpoint *c); /* accepts NULL */

/* Verify F if it says it is a checkpoint: the errors of qk_checkpoint_open; 0
 * for any other file. */
int qk_checkpoint_check (const struct qk_tensorfile *f);

/* All borrowed until close. */
const char *qk_checkpoint_path (const struct qk_checkpoint *c);
const struct qk_tensorfile *qk_checkpoint_file (const struct qk_checkpoint *c);

/* Text kept under KEY: NULL if there is none. */
const char *qk_checkpoint_text (const struct qk_checkpoint *c,
                                const char *key);

/* Write one file atomically.  META keys must not start with "checkpoint."
 * nor contain a comma. */
int qk_checkpoint_write (struct qk_context *ctx, const char *path,
                         const struct qk_format_entry *entries, int64_t n,
                         const struct qk_format_meta *meta, int n_meta);

/* ---- the folder ------------------------------------------------------*/

struct qk_checkpoints;

/* Use folder DIR (made if need be) for "checkpoint-NNNNNN" files and keep the
 * newest KEEP (>= 1) of them.  What interrupted writes left is removed: one
 * program at a time may use a folder.  To be freed with
 * qk_checkpoints_close. */
int qk_checkpoints_open (struct qk_context *ctx, const char *dir, int keep,
                         struct qk_checkpoints **out);
void qk_checkpoints_close (struct qk_checkpoints *s); /* accepts NULL */

/* Write checkpoint NUMBER (replacing one of that number), then remove those
 * older than the newest KEEP. */
int qk_checkpoints_write (struct qk_checkpoints *s, int64_t number,
                          const struct qk_format_entry *entries, int64_t n,
                          const struct qk_format_meta *meta, int n_meta);

/* The same for one from within an epoch: "part-NNNNNN", of which the newest
 * KEEP are kept until the next checkpoint makes them needless.  One counts as
 * older than a checkpoint of its number. */
int qk_checkpoints_write_part (struct qk_checkpoints *s, int64_t number,
                               const struct qk_format_entry *entries,
                               int64_t n, const struct qk_format_meta *meta,
                               int n_meta);

/* Open the one with the largest number that is sound; damaged ones are named
 * in the log, once each.  -ENOENT: there is none at all; -EBADMSG: all are
 * damaged; -ENOTSUP: the newest sound one was written by a newer major
 * version. */
int qk_checkpoints_newest (struct qk_checkpoints *s,
                           struct qk_checkpoint **out);

/* Remove those older than the newest KEEP, for a run that goes on: one that was
 * killed after a write may have left one more. */
void qk_checkpoints_prune (struct qk_checkpoints *s);

/* Remove all but NUMBER, part or whole, for a new run that has written its
 * first one. */
int qk_checkpoints_keep_only (struct qk_checkpoints *s, int64_t number);

#endif /* QK_IO_CHECKPOINTS_H */
