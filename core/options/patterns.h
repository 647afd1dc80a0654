/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* patterns.h: options that are lists of shell patterns. */
#ifndef QK_OPTIONS_PATTERNS_H
#define QK_OPTIONS_PATTERNS_H

#include <stdbool.h>

#define QK_MAX_PATTERNS 64

/* "features.*, *.bias": patterns as qk_glob_match has them, between commas and
 * blanks. */
struct qk_patterns {
  char *text; /* owned */
  int n;
  const char *pattern[QK_MAX_PATTERNS]; /* in text */
  bool used[QK_MAX_PATTERNS];           /* has matched a name */
};

/* Read LIST; WHERE names the option in errors.  Free with
 * qk_patterns_clear. */
int qk_patterns_parse (const char *list, const char *where,
                       struct qk_patterns *out);
void qk_patterns_clear (struct qk_patterns *p); /* accepts zeros */

/* Whether one of them matches NAME; all that do count as used. */
bool qk_patterns_match (struct qk_patterns *p, const char *name);
/* The first that has matched nothing; NULL: none. */
const char *qk_patterns_idle (const struct qk_patterns *p);

#endif /* QK_OPTIONS_PATTERNS_H */
