/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guard.c: memory between inaccessible pages, with canaries. */
#include "config.h"

#include "kernels/case.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CANARY 0xa5

int
guard_new (struct guard *g, size_t size, bool at_end)
{
  const size_t page = (size_t) sysconf (_SC_PAGESIZE);
  const size_t room = (size + page - 1) / page * page;

  memset (g, 0, sizeof *g);
  g->mapped = room + 2 * page;
  g->map = mmap (NULL, g->mapped, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (g->map == MAP_FAILED) {
    g->map = NULL;
    return -1;
  }
  memset (g->map + page, CANARY, room);
  if (mprotect (g->map, page, PROT_NONE) != 0
      || mprotect (g->map + page + room, page, PROT_NONE) != 0)
    return -1;
  g->size = size;
  g->data = g->map + page + (at_end ? room - size : 0);
  return 0;
}

bool
guard_intact (const struct guard *g)
{
  const size_t page = (size_t) sysconf (_SC_PAGESIZE);
  const uint8_t *from = g->map + page, *to = g->map + g->mapped - page;

  for (const uint8_t *p = from; p < to; p++)
    if ((p < g->data || p >= g->data + g->size) && *p != CANARY)
      return false;
  return true;
}

void
guard_free (struct guard *g)
{
  if (g->map != NULL)
    munmap (g->map, g->mapped);
  memset (g, 0, sizeof *g);
}
