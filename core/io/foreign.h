/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* foreign.h: what people take for a network by mistake, by its first bytes:
 * qk_foreign of qatkit/format.h. */
#ifndef QK_IO_FOREIGN_H
#define QK_IO_FOREIGN_H

#include "qatkit/format.h"

/* Bytes of a file that tell; more do no harm. */
#define QK_HEAD_SIZE 4096

/* Read up to QK_HEAD_SIZE bytes from the beginning of PATH; returns how many,
 * 0 also where it cannot be read: who opens it will say why. */
size_t qk_read_head (const char *path, void *head);

#endif /* QK_IO_FOREIGN_H */
