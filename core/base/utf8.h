/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* utf8.h: characters of UTF-8 text. */
#ifndef QK_BASE_UTF8_H
#define QK_BASE_UTF8_H

#include "qatkit/base.h"

/* Decode the character at S (not at the end) into *C; returns its bytes, or
 * 0 when S does not start a proper character. */
size_t qk_utf8_decode (const char *s, uint32_t *c);

#endif /* QK_BASE_UTF8_H */
