/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* arena.c: places buffers by liveness, largest first, each at the lowest
 * address free during its whole life.
 *
 * Where two threads share each tensor, one its first half and the other the
 * rest, an address should belong to the same thread in every buffer, or each
 * write fetches a cache line from the other core.  With MIDDLES a buffer is
 * therefore put around the middle of one placed before, if there is room. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/tensor.h>

#include "exec/arena.h"

#define ALIGN 64
/* The search for common middles takes the third power of the number of
 * buffers; networks of people have some hundred. */
#define MAX_MIDDLES 1024

int
qk_arena_add (struct qk_arena *a, size_t size, int first, int last)
{
  struct qk_buffer *b;

  if (size > SIZE_MAX / 4)
    return qk_error (-ENOMEM, "a buffer of %zu bytes is absurd", size);
  if ((a->n & (a->n + 1)) == 0) {
    b = realloc (a->buffer, ((size_t) a->n * 2 + 2) * sizeof *b);
    if (b == NULL)
      return qk_error (-ENOMEM, "out of memory");
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

/* Put B around the middle of one of the N buffers PLACED, if there is room
 * that is free of the K buffers NEAR. */
static bool
find_middle (struct qk_buffer *b, struct qk_buffer *const *placed, size_t n,
             struct qk_buffer *const *near, size_t k)
{
  for (size_t i = 0; i < n; i++) {
    const size_t middle = placed[i]->offset + placed[i]->size / 2;
    size_t at;

    if (placed[i]->size < b->size || middle < b->size / 2)
      continue;
    at = (middle - b->size / 2) / ALIGN * ALIGN;
    if (is_free (b, at, near, k)) {
      b->offset = at;
      return true;
    }
  }
  return false;
}

int
qk_arena_build (struct qk_arena *a, size_t limit, const char *what)
{
  const size_t n = (size_t) a->n;
  struct qk_buffer **order = calloc (n + 1, sizeof *order);
  struct qk_buffer **near = calloc (n + 1, sizeof *near);
  size_t i, j, k;
  int r = 0;

  if (order == NULL || near == NULL) {
    r = qk_error (-ENOMEM, "%s: out of memory", what);
    goto end;
  }
  for (i = 0; i < n; i++)
    order[i] = &a->buffer[i];
  qsort (order, n, sizeof *order, larger_first);
  for (i = 0; i < n; i++) {
    struct qk_buffer *b = order[i];

    for (j = 0, k = 0; j < i; j++)
      if (order[j]->first <= b->last && b->first <= order[j]->last)
        near[k++] = order[j];
    qsort (near, k, sizeof *near, lower_first);
    if (!a->middles || a->n > MAX_MIDDLES || !find_middle (b, order, i, near, k))
      b->offset = lowest_free (b, near, k);
    if (b->offset + b->size > a->size)
      a->size = b->offset + b->size;
  }
  if (a->size > limit) {
    r = qk_error (-ENOMEM, "%s: %zu MB of buffers, a network out of a file "
                  "may take %zu MB on this machine; a smaller batch needs "
                  "less", what, a->size >> 20, limit >> 20);
    goto end;
  }
  a->base = qk_alloc (a->size + ALIGN);
  if (a->base == NULL)
    r = qk_error (-ENOMEM, "%s: no memory for %zu MB of buffers", what,
                  a->size >> 20);
end:
  free (order);
  free (near);
  return r;
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
  qk_free (a->base);
  memset (a, 0, sizeof *a);
}
