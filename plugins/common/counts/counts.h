/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* counts.h: an exact histogram that grows with the values it sees. */
#ifndef QK_COMMON_COUNTS_H
#define QK_COMMON_COUNTS_H

#include <qatkit/observer.h>

/* Bin i holds the values of edge (i) <= x < edge (i + 1), where
 * edge (i) = (i - bins / 2) 2^exponent.  A larger value doubles the width and
 * adds bins up in pairs, so that the counts do not depend on the order of
 * the batches.  Zeros are counted apart: every grid represents them. */
struct counts {
  int bins;         /* a multiple of 4 */
  int32_t exponent; /* of the width */
  int64_t zeros;
  int64_t nonzero; /* sum of count */
  int64_t *count;  /* bins */
};

/* -EINVAL unless BINS is a multiple of 4.  Free with counts_clear; on failure
 * C holds nothing. */
int counts_init (struct counts *c, int bins);
void counts_clear (struct counts *c);

/* Forget what was seen. */
void counts_reset (struct counts *c);

/* Count N finite numbers. */
int counts_add (struct counts *c, const float *x, size_t n);

double counts_edge (const struct counts *c, int i);

/* -EDOM unless the counts, perhaps from a damaged file, are possible. */
int counts_check (const struct counts *c);

/* The slot state. */
int counts_state (struct counts *c, struct qk_state *st);

#endif /* QK_COMMON_COUNTS_H */
