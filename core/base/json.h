/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json.h: all JSON that the library and the program write.
 *
 * Values are built with jansson and these functions, which take what jansson
 * has no form for: bytes that are not UTF-8, numbers that are not finite, and
 * memory that runs out, which makes the whole value NULL instead of leaving
 * something out. */
#ifndef QK_BASE_JSON_H
#define QK_BASE_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

/* TEXT as a string; a byte that is not UTF-8 (names of files may hold any)
 * becomes U+FFFD.  NULL when out of memory. */
json_t *qk_json_string (const char *text);

/* V as a number, null for NaN and infinity.  NULL when out of memory. */
json_t *qk_json_real (double v);

/* Set KEY of *O, or append to *A.  VALUE is taken over; when it is NULL or
 * memory runs out, *O becomes NULL and remains so. */
void qk_json_set (json_t **o, const char *key, json_t *value);
void qk_json_append (json_t **a, json_t *value);

/* J as json_dumps writes it with FLAGS, to be freed; NULL when memory ran out
 * or J is NULL.  (json_dumps 2.14 itself leaves a key away when memory runs
 * out just there.) */
char *qk_json_text (const json_t *j, size_t flags);

/* Print J, which is taken over, and a newline; numbers have nine digits.
 * qk_json_print puts each element of an array of objects on a line of its
 * own, qk_json_print_line all of it on one. */
int qk_json_print (FILE *out, json_t *j);
int qk_json_print_line (FILE *out, json_t *j);

#endif /* QK_BASE_JSON_H */
