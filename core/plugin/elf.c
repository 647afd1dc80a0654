/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* elf.c: what must hold of a file before the dynamic linker maps it: a file
 * that ends before its segments do kills the process that touches them. */
#include "config.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/loader-priv.h"

/* Program headers that are looked at; no plugin has as many. */
#define MOST_HEADERS 256

/* SIZE bytes from AT on; false where the file has not as many. */
static bool
read_at (int fd, uint64_t at, void *to, size_t size)
{
  ssize_t n;

  do
    n = pread (fd, to, size, (off_t) at);
  while (n < 0 && errno == EINTR);
  return n == (ssize_t) size;
}

static int
refuse (const char *path, const char *why)
{
  return qk_error (-ENOEXEC, "plugin %s: cannot load for plugin ABI %d: %s",
                   path, QK_ABI_MAJOR, why);
}

static int
check_segment (const char *path, const ElfW (Phdr) * p, uint64_t size)
{
  const uint64_t end = (uint64_t) p->p_offset + p->p_filesz;

  if (p->p_type != PT_LOAD && p->p_type != PT_DYNAMIC)
    return 0;
  if (end < p->p_offset || p->p_filesz > p->p_memsz)
    return refuse (path, "a segment of impossible size");
  if (end > size)
    return qk_error (-ENOEXEC,
                     "plugin %s: cut short: %llu bytes, its segments end at "
                     "%llu",
                     path, (unsigned long long) size,
                     (unsigned long long) end);
  return 0;
}

static int
check_headers (const char *path, int fd, uint64_t size)
{
  ElfW (Ehdr) h;

  if (!read_at (fd, 0, &h, sizeof h)
      || memcmp (h.e_ident, ELFMAG, SELFMAG) != 0)
    return refuse (path, "it is no shared library");
  if (h.e_ident[EI_CLASS] != (sizeof (void *) == 8 ? ELFCLASS64 : ELFCLASS32))
    return refuse (path, "it is for machines of another word size");
  if (h.e_type != ET_DYN)
    return refuse (path, "it is a program or an object file, expected a "
                         "shared library");
  if (h.e_phentsize != sizeof (ElfW (Phdr)) || h.e_phnum == 0
      || h.e_phnum > MOST_HEADERS)
    return refuse (path, "its program headers make no sense");
  for (int i = 0; i < h.e_phnum; i++) {
    ElfW (Phdr) p;
    int r;

    if (!read_at (fd, (uint64_t) h.e_phoff + (uint64_t) i * sizeof p, &p,
                  sizeof p))
      return refuse (path, "cut short");
    if ((r = check_segment (path, &p, size)) < 0)
      return r;
  }
  return 0;
}

int
qk_elf_check (const char *path)
{
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat st;
  int r;

  if (fd < 0 || fstat (fd, &st) < 0) {
    r = -errno;
    qk_error (r, "plugin %s: %s", path, strerror (-r));
  } else
    r = check_headers (path, fd, (uint64_t) st.st_size);
  if (fd >= 0)
    close (fd);
  return r;
}
