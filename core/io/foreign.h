/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* foreign.h: what people take for a network by mistake. */
#ifndef QK_IO_FOREIGN_H
#define QK_IO_FOREIGN_H

#include <stddef.h>

/* Bytes of a file that tell; more do no harm. */
#define QK_HEAD_SIZE 4096

/* What a file that begins with these N bytes is instead of a network or its
 * weights, and what to do, as "a web page: …"; NULL: nothing known. */
const char *qk_foreign (const void *head, size_t n);

/* Read up to QK_HEAD_SIZE bytes from the beginning of PATH; returns how many,
 * 0 also where it cannot be read: who opens it will say why. */
size_t qk_read_head (const char *path, void *head);

#endif /* QK_IO_FOREIGN_H */
