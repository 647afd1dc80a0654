/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* table.h: tables in text files: cells separated by commas, tabs, semicolons
 * or spaces, as many in each line. */
#ifndef QK_TABLE_H
#define QK_TABLE_H

#include "textfile/textfile.h"

struct table {
  char *path; /* for messages */
  struct text_lines text;
  int columns;
  char **name; /* of the columns; NULL: no header was taken */
  int64_t rows;
  char **cell;   /* row by row; within text */
  int64_t *line; /* of each row, from 1 */
};

/* Read the file PATH.  The separator is the first of tab, comma, semicolon
 * and space that its first line has; spaces count as one.  A cell may be in
 * double quotes, in which "" is a quote.  Empty lines are left out.  -EBADMSG
 * where a line has another number of cells, or there are none.  T is to be
 * cleared, also after an error. */
int table_read (const char *path, struct table *t);
void table_clear (struct table *t);

/* Take the first row for the names of the columns, each different. */
int table_take_header (struct table *t);
/* The number of the column NAME; -EINVAL, naming those there are. */
int table_column (const struct table *t, const char *name);
const char *table_cell (const struct table *t, int64_t row, int column);
/* Append that cell, behind a comma unless it is the first, to the text of *AT
 * bytes in OUT, which stays a line of less than SIZE bytes. */
void table_append_cell (const struct table *t, int64_t row, int column,
                        char *out, size_t size, size_t *at);

/* Whether both tables have the same columns: -EINVAL, naming both files. */
int table_check_same (const struct table *a, const struct table *b);

/* Call FN for each of the columns that LIST names, separated by commas; WHERE
 * (an option of a dataset) begins errors. */
int table_each_column (const struct table *t, const char *list,
                       const char *where, int (*fn) (void *cookie, int column),
                       void *cookie);

/* The different cells of a column, in order: whole numbers by size, before
 * other text by bytes. */
struct table_labels {
  int column;
  char **name; /* within the tables' text */
  int64_t n;
};

/* Those of COLUMN in both tables; the second may be empty.  To be cleared. */
int table_labels_find (const struct table *a, const struct table *b,
                       int column, struct table_labels *out);
void table_labels_clear (struct table_labels *l);
/* The number of CELL among them; -1 where it is none. */
int32_t table_labels_number (const struct table_labels *l, const char *cell);

/* TEXT as a number, all of it; false where it is none.  "nan" and "inf" are
 * numbers that are not finite. */
bool table_number (const char *text, double *out);

#endif /* QK_TABLE_H */
