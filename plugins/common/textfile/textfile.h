/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* textfile.h: text files of the user's, line by line, and where they are. */
#ifndef QK_TEXTFILE_H
#define QK_TEXTFILE_H

#include <qatkit/base.h>

/* NAME within the folder ROOT, or NAME where it is absolute or ROOT is "";
 * to be freed.  NULL without memory. */
char *path_within (const char *root, const char *name);

/* The lines of a text file in one block of memory. */
struct text_lines {
  char *text;
  char **line; /* without their ends; empty ones as well */
  int64_t n;
};

/* Read PATH of at most MAX bytes.  A byte-order mark is left out, as are the
 * carriage returns before line ends.  -EBADMSG for a file with a NUL byte.
 * OUT is to be cleared, also after an error. */
int text_lines_read (const char *path, int64_t max, struct text_lines *out);
void text_lines_clear (struct text_lines *t);

/* The names of categories in the file PATH, one a line, empty lines at its
 * end left out; no name is empty or there twice. */
int text_names_read (const char *path, struct text_lines *out);

#endif /* QK_TEXTFILE_H */
