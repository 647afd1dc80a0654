/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* place.c: places in one block of memory.
 *
 * Buffers are put one after the other, each at the lowest place where it is
 * in nobody's way.  What comes of it depends on the order: the largest first,
 * in time, and many others drawn by chance are tried, and the best is kept. */
#include "config.h"

#include <stdbool.h>
#include <stdlib.h>

#include <qatkit/base.h>

#include "place.h"

#define TRIES 300

struct placing {
  struct buffer *b;
  int n;
  const struct overlap *o;
  int n_overlaps;
  bool *placed;
  int *order;
  int64_t *best; /* offsets */
};

static int64_t
aligned (int64_t x)
{
  return (x + PLACE_ALIGNMENT - 1) / PLACE_ALIGNMENT * PLACE_ALIGNMENT;
}

/* The lead that OUT must have before IN; -1: it may not overlap it. */
static int64_t
lead_of (const struct placing *p, int in, int out)
{
  for (int i = 0; i < p->n_overlaps; i++)
    if (p->o[i].in == in && p->o[i].out == out)
      return p->o[i].lead;
  return -1;
}

/* Whether buffer I could be at AT beside buffer J. */
static bool
beside (const struct placing *p, int i, int64_t at, int j)
{
  const struct buffer *a = &p->b[i], *b = &p->b[j];
  int64_t lead;

  if (a->first > b->last || b->first > a->last || at + a->size <= b->offset
      || b->offset + b->size <= at)
    return true;
  if ((lead = lead_of (p, j, i)) >= 0 && at + lead <= b->offset)
    return true;
  return (lead = lead_of (p, i, j)) >= 0 && b->offset + lead <= at;
}

static bool
free_at (const struct placing *p, int i, int64_t at)
{
  if (at < 0)
    return false;
  for (int j = 0; j < p->n; j++)
    if (p->placed[j] && !beside (p, i, at, j))
      return false;
  return true;
}

static void
take_lowest (const struct placing *p, int i, int64_t at, int64_t *lowest)
{
  if (at < *lowest && free_at (p, i, at))
    *lowest = at;
}

static void
put (struct placing *p, int i)
{
  int64_t lowest = INT64_MAX, lead;

  take_lowest (p, i, 0, &lowest);
  for (int j = 0; j < p->n && lowest > 0; j++) {
    if (!p->placed[j])
      continue;
    take_lowest (p, i, aligned (p->b[j].offset + p->b[j].size), &lowest);
    if ((lead = lead_of (p, j, i)) >= 0)
      take_lowest (p, i,
                   (p->b[j].offset - lead) / PLACE_ALIGNMENT * PLACE_ALIGNMENT,
                   &lowest);
    if ((lead = lead_of (p, i, j)) >= 0)
      take_lowest (p, i, aligned (p->b[j].offset + lead), &lowest);
  }
  p->b[i].offset = lowest;
  p->placed[i] = true;
}

/* Place all in the order there is; the size of the block. */
static int64_t
place_all (struct placing *p)
{
  int64_t size = 0;

  for (int i = 0; i < p->n; i++)
    p->placed[i] = false;
  for (int i = 0; i < p->n; i++)
    put (p, p->order[i]);
  for (int i = 0; i < p->n; i++)
    if (p->b[i].offset + p->b[i].size > size)
      size = p->b[i].offset + p->b[i].size;
  return size;
}

/* By size, the largest first: a stable order. */
static void
sort_by_size (struct placing *p)
{
  for (int i = 1; i < p->n; i++)
    for (int j = i;
         j > 0 && p->b[p->order[j]].size > p->b[p->order[j - 1]].size; j--) {
      const int other = p->order[j];

      p->order[j] = p->order[j - 1];
      p->order[j - 1] = other;
    }
}

/* Exchange some neighbours and some others. */
static void
mix (struct placing *p, uint32_t *seed)
{
  for (int i = 0; i < 1 + p->n / 4; i++) {
    int a, b, other;

    *seed = *seed * 1664525u + 1013904223u;
    a = (int) ((*seed >> 8) % (uint32_t) p->n);
    *seed = *seed * 1664525u + 1013904223u;
    b = (int) ((*seed >> 8) % (uint32_t) p->n);
    other = p->order[a];
    p->order[a] = p->order[b];
    p->order[b] = other;
  }
}

static int64_t
place_best (struct placing *p)
{
  int64_t best = INT64_MAX, size;
  uint32_t seed = 1;
  int tries = p->n > 200 ? 8 : TRIES;

  for (int t = 0; t < tries; t++) {
    if (t <= 1 || t % 8 == 0)
      for (int i = 0; i < p->n; i++)
        p->order[i] = i;
    if (t == 1 || (t > 1 && t % 16 == 0))
      sort_by_size (p);
    if (t > 1)
      mix (p, &seed);
    if ((size = place_all (p)) >= best)
      continue;
    best = size;
    for (int i = 0; i < p->n; i++)
      p->best[i] = p->b[i].offset;
  }
  for (int i = 0; i < p->n; i++)
    p->b[i].offset = p->best[i];
  return best;
}

int64_t
place_buffers (struct buffer *b, int n, const struct overlap *o,
               int n_overlaps)
{
  struct placing p = { .b = b, .n = n, .o = o, .n_overlaps = n_overlaps };
  int64_t size = 0;

  if (n <= 0)
    return 0;
  p.placed = calloc ((size_t) n, sizeof *p.placed);
  p.order = calloc ((size_t) n, sizeof *p.order);
  p.best = calloc ((size_t) n, sizeof *p.best);
  if (p.placed == NULL || p.order == NULL || p.best == NULL)
    size = qk_oom ("csource");
  else
    size = place_best (&p);
  free (p.placed);
  free (p.order);
  free (p.best);
  return size;
}
