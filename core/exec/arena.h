/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* arena.h: one block of memory for buffers that live at different times. */
#ifndef QK_EXEC_ARENA_H
#define QK_EXEC_ARENA_H

#include <stdbool.h>
#include <stddef.h>

/* A buffer of SIZE bytes used in the steps first..last of a schedule. */
struct qk_buffer {
  size_t size;
  int first, last;
  size_t offset; /* out */
};

struct qk_arena {
  struct qk_buffer *buffer;
  int n;
  bool middles; /* put buffers around common middles, see arena.c */
  size_t size;  /* after planning */
  char *base;   /* after allocation; owned unless it is lent */
  bool lent;
};

/* Ask for a buffer; returns its number, or a negative errno value.  A SIZE
 * of 0 gives a buffer whose address is NULL. */
int qk_arena_add (struct qk_arena *a, size_t size, int first, int last);

/* Lengthen a buffer's life so that it covers STEP. */
void qk_arena_extend (struct qk_arena *a, int buffer, int step);

/* Give every buffer its place, so that buffers living at the same time do
 * not overlap, in a block of at most LIMIT bytes.  WHAT names it in errors. */
int qk_arena_place (struct qk_arena *a, size_t limit, const char *what);
/* Allocate the block, qk_arena_bytes of them. */
int qk_arena_allocate (struct qk_arena *a, const char *what);
size_t qk_arena_bytes (const struct qk_arena *a);
/* Both. */
int qk_arena_build (struct qk_arena *a, size_t limit, const char *what);

void *qk_arena_at (const struct qk_arena *a, int buffer);

void qk_arena_clear (struct qk_arena *a);

#endif /* QK_EXEC_ARENA_H */
