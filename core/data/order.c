/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* order.c: shuffled epochs, and such in which all categories are as
 * frequent. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "data/order.h"

/* All of them lie in MEMBER, group by group. */
struct qk_groups {
  int64_t groups;
  int64_t *first;  /* of each group, and the end of the last */
  int64_t *member; /* sample numbers, rising within a group */
  int64_t *turn;   /* those of one group, in the order of this turn */
};

/* Random order of what X holds. */
static void
shuffle (int64_t *x, int64_t n, struct qk_rng *rng)
{
  for (int64_t i = n - 1; i > 0; i--) {
    const int64_t j = (int64_t) qk_rng_below (rng, (uint64_t) i + 1);
    const int64_t t = x[i];

    x[i] = x[j];
    x[j] = t;
  }
}

void
qk_order_shuffle (int64_t *order, int64_t n, struct qk_rng *rng)
{
  for (int64_t i = 0; i < n; i++)
    order[i] = i;
  shuffle (order, n, rng);
}

void
qk_groups_free (struct qk_groups *g)
{
  if (g == NULL)
    return;
  free (g->first);
  free (g->member);
  free (g->turn);
  free (g);
}

/* The largest category of a sample, -1 if none has one. */
static int64_t
largest_category (const struct qk_dataset_class *cls, void *self,
                  int64_t count)
{
  int64_t most = -1;

  for (int64_t i = 0; i < count; i++) {
    const int64_t c = cls->category (self, i);

    most = c > most ? c : most;
  }
  return most;
}

/* Sort the samples by category; categories without a sample are no group. */
static void
fill (struct qk_groups *g, const struct qk_dataset_class *cls, void *self,
      int64_t count, int64_t categories)
{
  int64_t at = 0;

  for (int64_t i = 0; i < count; i++) {
    const int64_t c = cls->category (self, i);

    if (c >= 0)
      g->first[c + 1]++;
  }
  for (int64_t c = 0; c < categories; c++)
    g->first[c + 1] += g->first[c];
  for (int64_t i = 0; i < count; i++) {
    const int64_t c = cls->category (self, i);

    if (c >= 0)
      g->member[g->first[c]++] = i;
  }
  /* first[c] is the end of group c by now */
  for (int64_t c = 0; c < categories; c++) {
    const int64_t end = g->first[c];

    if (end > at)
      g->first[g->groups++] = at;
    at = end;
  }
  g->first[g->groups] = at;
}

int
qk_groups_new (const struct qk_dataset_class *cls, void *self, int64_t count,
               struct qk_groups **out)
{
  struct qk_groups *g;
  int64_t categories;

  if (cls->category == NULL)
    return qk_error (-EINVAL,
                     "dataset %s does not tell the categories of its samples "
                     "before they are read, so that they cannot be balanced",
                     cls->cls.name);
  categories = largest_category (cls, self, count) + 1;
  if (categories == 0)
    return qk_error (-EINVAL,
                     "dataset %s: no sample has a category, so that they "
                     "cannot be balanced",
                     cls->cls.name);
  g = calloc (1, sizeof *g);
  if (g != NULL) {
    g->first = calloc ((size_t) categories + 1, sizeof *g->first);
    g->member = calloc ((size_t) count, sizeof *g->member);
    g->turn = calloc ((size_t) count, sizeof *g->turn);
  }
  if (g == NULL || g->first == NULL || g->member == NULL || g->turn == NULL) {
    qk_groups_free (g);
    return qk_oom ("the order of %lld samples", (long long) count);
  }
  fill (g, cls, self, count, categories);
  *out = g;
  return 0;
}

void
qk_order_balance (struct qk_groups *g, int64_t *order, int64_t n,
                  struct qk_rng *rng)
{
  const int64_t all = n / g->groups;
  const int64_t more = (int64_t) qk_rng_below (rng, (uint64_t) g->groups);
  int64_t at = 0;

  for (int64_t k = 0; k < g->groups; k++) {
    const int64_t size = g->first[k + 1] - g->first[k];
    /* the N % groups that are left, from a random group on */
    const int64_t want
      = all + ((k + g->groups - more) % g->groups < n % g->groups);

    for (int64_t i = 0; i < want; i++) {
      if (i % size == 0) {
        memcpy (g->turn, g->member + g->first[k],
                (size_t) size * sizeof *g->turn);
        shuffle (g->turn, size, rng);
      }
      order[at++] = g->turn[i % size];
    }
  }
  shuffle (order, n, rng);
}
