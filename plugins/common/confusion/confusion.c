/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* confusion.c: counts of categories meant and answered. */
#include "config.h"

#include <math.h>

#include "confusion.h"

const struct qk_score_spec confusion_column[CONFUSION_COLUMNS]
  = { { "count", "count", true, false, 0 },
      { "precision", "precision", true, true, 2 },
      { "recall", "recall", true, true, 2 },
      { "f1", "F1", true, true, 2 },
      { "iou", "IoU", true, true, 2 } };

size_t
confusion_sums (const struct confusion *c)
{
  return (size_t) (c->n * (c->matrix ? c->n : 3));
}

void
confusion_add (const struct confusion *c, double *sums, int64_t meant,
               int64_t answered)
{
  if (c->matrix) {
    sums[meant * c->n + answered]++;
    return;
  }
  sums[meant]++;
  sums[c->n + answered]++;
  sums[2 * c->n + meant] += meant == answered;
}

struct confusion_counts
confusion_of (const struct confusion *c, const double *sums, int64_t category)
{
  struct confusion_counts k = { 0, 0, 0 };

  if (!c->matrix)
    return (struct confusion_counts){ sums[category], sums[c->n + category],
                                      sums[2 * c->n + category] };
  for (int64_t o = 0; o < c->n; o++) {
    k.meant += sums[category * c->n + o];
    k.answered += sums[o * c->n + category];
  }
  k.both = sums[category * c->n + category];
  return k;
}

/* X / Y, NaN where Y is 0. */
static double
share (double x, double y)
{
  return y > 0 ? x / y : (double) NAN;
}

void
confusion_row (const struct confusion *c, const double *sums, int64_t category,
               int columns, double *cell)
{
  const struct confusion_counts k = confusion_of (c, sums, category);
  const double all[CONFUSION_COLUMNS] = {
    k.meant,
    share (k.both, k.answered),
    share (k.both, k.meant),
    share (2 * k.both, k.meant + k.answered),
    share (k.both, k.meant + k.answered - k.both),
  };

  for (int i = 0; i < columns; i++)
    cell[i] = all[i];
}
