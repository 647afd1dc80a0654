/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* text.h: how text looks on a terminal. */
#ifndef QK_REPORT_TEXT_H
#define QK_REPORT_TEXT_H

#include "qatkit/base.h"

/* Terminal columns the UTF-8 text takes; a byte that is not UTF-8 and a
 * control character count as one (they are shown as '?'). */
int qk_text_width (const char *text);

/* Bytes of the longest beginning of TEXT that takes at most WIDTH columns;
 * *USED, if not NULL, gets its columns. */
size_t qk_text_cut (const char *text, int width, int *used);

/* Copy TEXT to BUF (SIZE > 0), with '?' for what must not reach a terminal;
 * cut at a character when it does not fit.  Returns BUF. */
char *qk_text_clean (const char *text, char *buf, size_t size);

#endif /* QK_REPORT_TEXT_H */
