/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* confusion.h: how often what is of one category was taken for another, as
 * sums of a metric, and the table that comes of it. */
#ifndef QK_CONFUSION_H
#define QK_CONFUSION_H

#include <qatkit/metric.h>

/* The sums of N categories: the matrix (N,N) of (meant, answered), or without
 * it how often each was meant, answered, and both (3,N). */
struct confusion {
  int64_t n;
  bool matrix;
};

size_t confusion_sums (const struct confusion *c);
/* Count an answer; both numbers are within the categories. */
void confusion_add (const struct confusion *c, double *sums, int64_t meant,
                    int64_t answered);

/* How often a category was meant, answered, and both. */
struct confusion_counts {
  double meant, answered, both;
};
struct confusion_counts confusion_of (const struct confusion *c,
                                      const double *sums, int64_t category);

/* Columns of a table: how often a category was meant, precision
 * (both / answered), recall (both / meant), F1 (2 both / (meant + answered)),
 * intersection over union (both / (meant + answered - both)); NaN where there
 * is nothing to divide by. */
#define CONFUSION_COLUMNS 5
extern const struct qk_score_spec confusion_column[CONFUSION_COLUMNS];
/* The first COLUMNS of them, of one category, into CELL. */
void confusion_row (const struct confusion *c, const double *sums,
                    int64_t category, int columns, double *cell);

#endif /* QK_CONFUSION_H */
