/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blocks.c: memory that is given back as a whole. */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "blocks.h"

struct block {
  struct block *next;
  max_align_t data[];
};

void *
blocks_alloc (struct block **all, size_t size)
{
  struct block *p = size < SIZE_MAX / 2 ? calloc (1, sizeof *p + size) : NULL;

  if (p == NULL)
    return NULL;
  p->next = *all;
  *all = p;
  return p->data;
}

char *
blocks_text (struct block **all, const char *fmt, va_list args)
{
  va_list again;
  char *s;
  int n;

  va_copy (again, args);
  n = vsnprintf (NULL, 0, fmt, again);
  va_end (again);
  s = n < 0 ? NULL : blocks_alloc (all, (size_t) n + 1);
  if (s != NULL)
    vsnprintf (s, (size_t) n + 1, fmt, args);
  return s;
}

void
blocks_free (struct block **all)
{
  struct block *p, *next;

  for (p = *all; p != NULL; p = next) {
    next = p->next;
    free (p);
  }
  *all = NULL;
}
