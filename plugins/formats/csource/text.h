/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* text.h: text that grows. */
#ifndef CSOURCE_TEXT_H
#define CSOURCE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include <qatkit/base.h>

/* Zero at first.  The first failure to allocate sticks as ERROR. */
struct text {
  char *at; /* with a 0 at the end; NULL while it is empty */
  size_t length, room;
  int error;
};

/* Append N bytes; what FMT makes; another text. */
void text_bytes (struct text *t, const char *from, size_t n);
void text_add (struct text *t, const char *fmt, ...) QK_PRINTF (2, 3);
void text_join (struct text *t, const struct text *other);
/* Append LINE with every FROM[i] replaced by TO[i], N of them. */
void text_replaced (struct text *t, const char *line, const char *const *from,
                    const char *const *to, int n);
/* Append the elements of an array, with commas, in lines of at most 79
 * characters. */
void text_int8 (struct text *t, const int8_t *x, int64_t n);
void text_uint8 (struct text *t, const uint8_t *x, int64_t n);
void text_int32 (struct text *t, const int32_t *x, int64_t n);
void text_bits (struct text *t, const uint32_t *x, int64_t n);
void text_clear (struct text *t);

#endif /* CSOURCE_TEXT_H */
