/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* nearest.h: the known name that was probably meant. */
#ifndef QK_BASE_NEAREST_H
#define QK_BASE_NEAREST_H

#include <stddef.h>

/* A search in progress; names are borrowed. */
struct qk_nearest {
  const char *name;
  const char *best; /* NULL: nothing is near */
  int distance;     /* of best; a measure of our own */
};

/* Look for names near NAME: init, offer every known name, then read best or
 * print a hint. */
void qk_nearest_init (struct qk_nearest *n, const char *name);
void qk_nearest_offer (struct qk_nearest *n, const char *known);

#define QK_HINT_SIZE 160

/* " (did you mean 'best'?)" into BUF, or "" if nothing is near.
 * Returns BUF. */
const char *qk_nearest_hint (const struct qk_nearest *n,
                             char buf[QK_HINT_SIZE]);

/* Edit distance (insert, delete, replace, swap of neighbours) between two
 * names, ignoring case and the difference of '-' and '_'; INT_MAX if one is
 * longer than 128 bytes. */
int qk_edit_distance (const char *a, const char *b);

#endif /* QK_BASE_NEAREST_H */
