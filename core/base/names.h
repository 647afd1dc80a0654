/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* names.h: the numbers of things by their names. */
#ifndef QK_NAMES_H
#define QK_NAMES_H

struct qk_names {
  void *tree; /* of tsearch; NULL: empty */
};

/* Give NAME the number INDEX.  NAME is not copied and must live as long.
 * -EEXIST, without a sentence, if it has one already; out of memory. */
int qk_names_add (struct qk_names *n, const char *name, int index);

/* The number of NAME, or -1. */
int qk_names_find (const struct qk_names *n, const char *name);

void qk_names_clear (struct qk_names *n);

#endif
