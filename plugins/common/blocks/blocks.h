/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blocks.h: memory that is given back as a whole. */
#ifndef BLOCKS_H
#define BLOCKS_H

#include <stdarg.h>
#include <stddef.h>

#include <qatkit/base.h>

struct block;

/* SIZE zeroed bytes, which live until *ALL, NULL at first, is freed; NULL where
 * there is no memory, without a sentence. */
void *blocks_alloc (struct block **all, size_t size);
/* A text, the same way. */
char *blocks_text (struct block **all, const char *fmt, va_list args)
  QK_PRINTF (2, 0);
void blocks_free (struct block **all);

#endif /* BLOCKS_H */
