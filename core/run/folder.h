/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* folder.h: the folder of a run, which one program at a time writes into. */
#ifndef QK_RUN_FOLDER_H
#define QK_RUN_FOLDER_H

#include "qatkit/context.h"

/* A folder that is ours until it is closed. */
struct qk_folder;

/* Make a folder and those above it, where they are missing. */
int qk_folder_make (const char *path);

/* Take folder PATH, which is made where it is missing, for this process alone:
 * a lock on the file "lock" in it, which ends with the process.  -EBUSY, with
 * the process that has it.  A folder of another user gives a warning.  To be
 * freed with qk_folder_close. */
int qk_folder_open (struct qk_context *ctx, const char *path,
                    struct qk_folder **out);
void qk_folder_close (struct qk_folder *f); /* accepts NULL */

/* Whether the run that was here last has not come to its end. */
bool qk_folder_unfinished (const struct qk_folder *f);

/* Note that a run begins, or that it has come to its end. */
int qk_folder_begin (struct qk_folder *f);
int qk_folder_end (struct qk_folder *f);

#endif /* QK_RUN_FOLDER_H */
