/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mapped.h: files mapped for reading, shared by format plugins. */
#ifndef QATKIT_COMMON_MAPPED_H
#define QATKIT_COMMON_MAPPED_H

#include <qatkit/base.h>

/* Map the regular file at PATH, which has at least MIN bytes (> 0) if it is
 * a file of the kind WHAT ("a safetensors file").  *BYTES (*SIZE of them) is
 * to be unmapped by the caller.  It must not be shortened in place while
 * open; files are replaced by renaming. */
int mapped_open (const char *path, size_t min, const char *what, void **bytes,
                 size_t *size);

#endif /* QATKIT_COMMON_MAPPED_H */
