/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json-text.h: a JSON value as text, whole or not at all. */
#ifndef QK_BASE_JSON_TEXT_H
#define QK_BASE_JSON_TEXT_H

#include <jansson.h>
#include <stddef.h>

/* J as json_dumps writes it with FLAGS, to be freed; NULL when memory ran out
 * or J is NULL.  (json_dumps 2.14 itself leaves a key away when memory runs
 * out just there.) */
char *qk_json_text (const json_t *j, size_t flags);

#endif /* QK_BASE_JSON_TEXT_H */
