/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* table.h: tables with aligned columns, for people. */
#ifndef QK_REPORT_TABLE_H
#define QK_REPORT_TABLE_H

#include <stdio.h>

#include "qatkit/base.h"

struct qk_table;

/* A table of N columns with these titles (copied); free with
 * qk_table_free. */
int qk_table_new (const char *const *titles, int n, struct qk_table **out);
void qk_table_free (struct qk_table *t); /* accepts NULL */

/* Append the next cell, row by row.  After a failure the table stays as it
 * was; qk_table_print reports it again, so that the result of each cell need
 * not be looked at. */
int qk_table_cell (struct qk_table *t, const char *fmt, ...) QK_PRINTF (2, 3);

/* Print it.  Columns of numbers ("93.1", "2.4 MB", "7 %", "-") are aligned
 * right, others left; widths are those of UTF-8 text on a terminal. */
int qk_table_print (const struct qk_table *t, FILE *out);

#endif /* QK_REPORT_TABLE_H */
