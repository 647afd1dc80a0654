/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* atomic-file.h: files that are either completely new or still the old. */
#ifndef QK_BASE_ATOMIC_FILE_H
#define QK_BASE_ATOMIC_FILE_H

#include "qatkit/context.h"

/* Fills FD, an empty file opened for reading and writing.  Returns 0, or a
 * negative errno value with a sentence; does not close FD. */
typedef int (*qk_atomic_fill) (int fd, void *arg);

/* Write file PATH: FILL gets a file under a temporary name in the same
 * folder, which then takes the place of PATH, both flushed to disk.  On any
 * failure the old file stays as it was and the temporary one is removed; the
 * sentence names PATH.  A symbolic link is an error (-ELOOP): somebody else
 * may have put it there.  An existing file keeps its access mode. */
int qk_atomic_write (const char *path, qk_atomic_fill fill, void *arg);

/* The same for N bytes at hand. */
int qk_atomic_write_data (const char *path, const void *data, size_t n);

/* Remove from FOLDER the temporary files of writes that were killed, for
 * files whose names end in SUFFIX ("": all); nobody else may be writing there. */
int qk_atomic_remove_leftovers (struct qk_context *ctx, const char *folder,
                                const char *suffix);

/* Write all N bytes to FD, through interruptions and short writes. */
int qk_write_all (int fd, const void *data, size_t n);

#endif /* QK_BASE_ATOMIC_FILE_H */
