/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* segments.c: what belongs to the program and the libraries it has loaded. */
#include "config.h"

#include <link.h>
#include <string.h>

#include "plugin/loader-priv.h"

/* LENGTH bytes from START, in a segment that has all of FLAGS. */
struct region {
  uintptr_t start, length;
  ElfW (Word) flags;
};

static int
holds (struct dl_phdr_info *object, size_t size, void *cookie)
{
  const struct region *r = cookie;

  (void) size;
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW (Phdr) *p = &object->dlpi_phdr[i];
    const uintptr_t offset = r->start - (object->dlpi_addr + p->p_vaddr);

    if (p->p_type == PT_LOAD && (p->p_flags & r->flags) == r->flags
        && offset < p->p_memsz && r->length <= p->p_memsz - offset)
      return 1;
  }
  return 0;
}

bool
qk_is_loaded (const void *start, size_t length)
{
  struct region r = { (uintptr_t) start, length, PF_R };

  return dl_iterate_phdr (holds, &r) != 0;
}

/* The rest of the segment that holds cookie->start, in cookie->length. */
static int
rest (struct dl_phdr_info *object, size_t size, void *cookie)
{
  struct region *r = cookie;

  (void) size;
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW (Phdr) *p = &object->dlpi_phdr[i];
    const uintptr_t offset = r->start - (object->dlpi_addr + p->p_vaddr);

    if (p->p_type == PT_LOAD && (p->p_flags & r->flags) == r->flags
        && offset < p->p_memsz) {
      r->length = p->p_memsz - offset;
      return 1;
    }
  }
  return 0;
}

bool
qk_is_loaded_text (const char *text)
{
  struct region r = { (uintptr_t) text, 0, PF_R };

  return text != NULL && dl_iterate_phdr (rest, &r) != 0
         && memchr (text, 0, r.length) != NULL;
}

bool
qk_is_code (const void *start)
{
  struct region r = { (uintptr_t) start, 1, PF_X };

  return dl_iterate_phdr (holds, &r) != 0;
}
