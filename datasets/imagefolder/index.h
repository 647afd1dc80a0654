/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* index.h: a scan kept in a file, for as long as no folder has changed.
 *
 * A text: what it is, the folder that was scanned, then lines "folder SECONDS
 * NANOSECONDS PATH" with the times at which each folder was last changed,
 * "class NAME", "image LABEL PATH", "left NUMBER" and "ending NUMBER TEXT".
 * Files that change within a folder that does not are the reader's affair. */
#ifndef QATKIT_IMAGEFOLDER_INDEX_H
#define QATKIT_IMAGEFOLDER_INDEX_H

#include "scan.h"

/* Fill S, zeroed, from the file PATH.  1 if it is of ROOT and every folder is
 * as it was; 0 if not, or there is no such file, with S zeroed again; -ENOMEM.
 * A file that is something else is an error (-EBADMSG), so that a mistyped
 * name does not cost somebody's file. */
int index_load (struct scan *s, const char *path, const char *root);

/* Write S to PATH, in one step.  Nothing is written while a folder is so new
 * that a later change may have the same time, or for names with line ends. */
int index_save (const struct scan *s, const char *path);

#endif /* QATKIT_IMAGEFOLDER_INDEX_H */
