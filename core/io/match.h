/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* match.h: which of a file's names is which of a network's. */
#ifndef QK_IO_MATCH_H
#define QK_IO_MATCH_H

#include <stdint.h>
#include <stdio.h>

/* Names that stand before all of the file's, or of the network's, and count
 * for nothing: "module.", "model.", "backbone."; "" for none.  To be freed
 * with qk_match_clear. */
struct qk_match {
  char *file, *network;
};

/* Find the prefixes that most of the N names WANT of the network are found
 * with among the COUNT names HAVE of the file; AT[k] gets the number of
 * WANT[k], -1: missing.  Components that torch.compile adds ("_orig_mod") do
 * not count anywhere.  Returns how many were found. */
int64_t qk_match_names (const char *const *have, int64_t count,
                        const char *const *want, size_t n, int64_t *at,
                        struct qk_match *out);
void qk_match_clear (struct qk_match *m);

/* Names of one fault, gathered for a message. */
struct qk_name_list {
  const char *what; /* "missing" */
  char **line;      /* the name, perhaps with more behind ": " */
  size_t n;
};

/* Add a line, printed as by printf. */
int qk_name_list_add (struct qk_name_list *l, const char *fmt, ...)
  __attribute__ ((format (printf, 2, 3)));
/* "\n  missing: NAME" for the first ten, then how many more there are and what
 * they end in. */
void qk_name_list_print (const struct qk_name_list *l, FILE *out);
void qk_name_list_clear (struct qk_name_list *l);

#endif /* QK_IO_MATCH_H */
