/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* content.h: a number that changes with what is in a sample, as a dataset's
 * slot describe gives it. */
#ifndef QK_CONTENT_H
#define QK_CONTENT_H

#include <qatkit/base.h>

#define CONTENT_START UINT64_C (0xcbf29ce484222325)

/* H, or CONTENT_START for the first, with N bytes at DATA added (FNV-1a). */
uint64_t content_add (uint64_t h, const void *data, size_t n);

/* Of the size of the file PATH and its first bytes, in which a JPEG has its
 * tables; 0 for one that cannot be read, which is told when it is needed. */
uint64_t content_of_file (const char *path);

#endif /* QK_CONTENT_H */
