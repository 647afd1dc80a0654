/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* arena.c: places buffers by liveness, largest first, each at the lowest
 * address free during its whole life.
 *
 * Where two threads share each tensor, one its first half and the other the
 * rest, an address should belong to the same thread in every buffer, or each
 * write fetches a cache line from the other core.  With MIDDLES a buffer is
 * therefore put where the least of it belonged to the other thread, of the
 * places around the middle of one placed before and beside one. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/tensor.h>

#include "exec/arena.h"

#define ALIGN 64
/* The search takes the third power of the number of buffers of this size and
 * more; networks of people have some hundred. */
#define MIN_SHARED ((size_t) 64 << 10)
#define MAX_SHARED 600

int
qk_arena_add (struct qk_arena *a, size_t size, int first, int last)
{
  struct qk_buffer *b;

  if (size > SIZE_MAX / 4)
    return qk_error (-ENOMEM, "a buffer of %zu bytes is absurd", size);
  if ((a->n & (a->n + 1)) == 0) {
    b = realloc (a->buffer, ((size_t) a->n * 2 + 2) * sizeof *b);
    if (b == NULL)
      return qk_oom ("exec");
    a->buffer = b;
  }
  b = &a->buffer[a->n];
  b->size = (size + ALIGN - 1) / ALIGN * ALIGN;
  b->first = first;
  b->last = last;
  b->offset = 0;
  return a->n++;
}

void
qk_arena_extend (struct qk_arena *a, int buffer, int step)
{
  struct qk_buffer *b = &a->buffer[buffer];

  if (step < b->first)
    b->first = step;
  if (step > b->last)
    b->last = step;
}

static int
larger_first (const void *pa, const void *pb)
{
  const struct qk_buffer *a = *(struct qk_buffer *const *) pa;
  const struct qk_buffer *b = *(struct qk_buffer *const *) pb;

  if (a->size != b->size)
    return a->size < b->size ? 1 : -1;
  return a < b ? -1 : 1;
}

static int
lower_first (const void *pa, const void *pb)
{
  const struct qk_buffer *a = *(struct qk_buffer *const *) pa;
  const struct qk_buffer *b = *(struct qk_buffer *const *) pb;

  return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* Whether B at offset AT is clear of the K buffers NEAR. */
static bool
is_free (const struct qk_buffer *b, size_t at, struct qk_buffer *const *near,
         size_t k)
{
  for (size_t j = 0; j < k; j++)
    if (at < near[j]->offset + near[j]->size && near[j]->offset < at + b->size)
      return false;
  return true;
}

/* The lowest offset for B that is clear of the K buffers NEAR, which are in
 * the order of theirs. */
static size_t
lowest_free (const struct qk_buffer *b, struct qk_buffer *const *near,
             size_t k)
{
  size_t at = 0;

  for (size_t j = 0; j < k && at + b->size > near[j]->offset; j++)
    if (near[j]->offset + near[j]->size > at)
      at = near[j]->offset + near[j]->size;
  return at;
}

/* Where buffer B has its middle when it lies at AT. */
static size_t
middle (const struct qk_buffer *b, size_t at)
{
  return at + b->size / 2;
}

static size_t
overlap (size_t first, size_t end, size_t from, size_t to)
{
  const size_t low = first > from ? first : from;
  const size_t high = end < to ? end : to;

  return high > low ? high - low : 0;
}

static bool
meet (const struct qk_buffer *a, const struct qk_buffer *b)
{
  return a->first <= b->last && b->first <= a->last;
}

/* Bytes of B at AT that are the other thread's in one of the N buffers
 * PLACED. */
static size_t
foreign (const struct qk_buffer *b, size_t at, struct qk_buffer *const *placed,
         size_t n)
{
  const size_t m = middle (b, at), end = at + b->size;
  size_t sum = 0;

  for (size_t i = 0; i < n; i++) {
    const struct qk_buffer *p = placed[i];
    const size_t pm = middle (p, p->offset);

    if (!meet (b, p))
      sum += overlap (at, m, pm, p->offset + p->size)
             + overlap (m, end, p->offset, pm);
  }
  return sum;
}

/* The search for B's place: the best so far. */
struct search {
  const struct qk_buffer *b;
  struct qk_buffer *const *placed, *const *near;
  size_t n, k;
  size_t limit; /* up to here memory is taken anyway */
  size_t beyond, foreign, at;
};

static void
try_place (struct search *s, size_t at)
{
  const size_t end = at + s->b->size;
  const size_t beyond = end > s->limit ? end - s->limit : 0;
  size_t f;

  if (beyond > s->beyond || !is_free (s->b, at, s->near, s->k))
    return;
  f = foreign (s->b, at, s->placed, s->n);
  if (beyond == s->beyond
      && (f > s->foreign || (f == s->foreign && at >= s->at)))
    return;
  s->beyond = beyond;
  s->foreign = f;
  s->at = at;
}

/* The place for B among the N buffers PLACED, with the K buffers NEAR living
 * at the same time: taking no memory beyond LIMIT if possible, and of these
 * the one with the least foreign bytes. */
static size_t
best_place (const struct qk_buffer *b, struct qk_buffer *const *placed,
            size_t n, struct qk_buffer *const *near, size_t k, size_t limit)
{
  struct search s = { .b = b,
                      .placed = placed,
                      .near = near,
                      .n = n,
                      .k = k,
                      .limit = limit,
                      .beyond = SIZE_MAX };

  try_place (&s, lowest_free (b, near, k));
  for (size_t i = 0; i < n; i++) {
    const size_t m = middle (placed[i], placed[i]->offset);

    if (m >= b->size / 2)
      try_place (&s, (m - b->size / 2) / ALIGN * ALIGN);
    try_place (&s, placed[i]->offset + placed[i]->size);
    if (placed[i]->offset >= b->size)
      try_place (&s, placed[i]->offset - b->size);
  }
  return s.at;
}

/* The most memory in use at any time. */
static size_t
peak (const struct qk_arena *a)
{
  size_t most = 0;

  for (int i = 0; i < a->n; i++) {
    const int now = a->buffer[i].first; /* a peak begins with a buffer */
    size_t sum = 0;

    for (int j = 0; j < a->n; j++)
      if (a->buffer[j].first <= now && now <= a->buffer[j].last)
        sum += a->buffer[j].size;
    most = sum > most ? sum : most;
  }
  return most;
}

/* How many of the buffers in ORDER are worth the search for a place. */
static size_t
count_shared (const struct qk_arena *a, struct qk_buffer *const *order)
{
  size_t n = 0;

  while (a->middles && n < (size_t) a->n && order[n]->size >= MIN_SHARED)
    n++;
  return n <= MAX_SHARED ? n : 0;
}

int
qk_arena_place (struct qk_arena *a, size_t limit, const char *what)
{
  const size_t n = (size_t) a->n;
  struct qk_buffer **order = calloc (n + 1, sizeof *order);
  struct qk_buffer **near = calloc (n + 1, sizeof *near);
  size_t in_use, shared, i, j, k;
  int r = 0;

  if (order == NULL || near == NULL) {
    r = qk_oom ("%s", what);
    goto end;
  }
  for (i = 0; i < n; i++)
    order[i] = &a->buffer[i];
  qsort (order, n, sizeof *order, larger_first);
  shared = count_shared (a, order);
  in_use = peak (a);
  for (i = 0; i < n; i++) {
    struct qk_buffer *b = order[i];

    for (j = 0, k = 0; j < i; j++)
      if (meet (b, order[j]))
        near[k++] = order[j];
    qsort (near, k, sizeof *near, lower_first);
    b->offset = i < shared ? best_place (b, order, i, near, k, in_use)
                           : lowest_free (b, near, k);
    if (b->offset + b->size > a->size)
      a->size = b->offset + b->size;
    if (a->size > in_use)
      in_use = a->size;
  }
  if (a->size > limit) {
    r = qk_error (-ENOMEM,
                  "%s: %zu MB of buffers, a network out of a file "
                  "may take %zu MB on this machine; a smaller batch needs "
                  "less",
                  what, a->size >> 20, limit >> 20);
    goto end;
  }
end:
  free (order);
  free (near);
  return r;
}

size_t
qk_arena_bytes (const struct qk_arena *a)
{
  return a->size + ALIGN;
}

int
qk_arena_allocate (struct qk_arena *a, const char *what)
{
  a->base = qk_alloc (qk_arena_bytes (a));
  return a->base == NULL
           ? qk_oom ("%s: %zu MB of buffers", what, a->size >> 20)
           : 0;
}

int
qk_arena_build (struct qk_arena *a, size_t limit, const char *what)
{
  const int r = qk_arena_place (a, limit, what);

  return r < 0 ? r : qk_arena_allocate (a, what);
}

void *
qk_arena_at (const struct qk_arena *a, int buffer)
{
  if (buffer < 0 || a->buffer[buffer].size == 0)
    return NULL;
  return a->base + a->buffer[buffer].offset;
}

void
qk_arena_clear (struct qk_arena *a)
{
  free (a->buffer);
  if (!a->lent)
    qk_free (a->base);
  memset (a, 0, sizeof *a);
}
