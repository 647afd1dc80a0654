/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mapped.h: whole files in memory, shared by format plugins. */
#ifndef QATKIT_COMMON_MAPPED_H
#define QATKIT_COMMON_MAPPED_H

#include <qatkit/base.h>

/* Read the regular file at PATH, which has at least MIN bytes (> 0) if it is
 * a file of the kind WHAT ("a safetensors file").  *BYTES (*SIZE of them) is
 * for munmap.  They are pages of our own, not the file's: whoever overwrites
 * or cuts the file meanwhile changes nothing here. */
int mapped_open (const char *path, size_t min, const char *what, void **bytes,
                 size_t *size);

#endif /* QATKIT_COMMON_MAPPED_H */
