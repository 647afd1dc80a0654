/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* defaults.c: which class of a kind is taken where none is named.
 *
 * Loading a plugin loads its libraries too, and those of some take longer
 * than all the rest of a start.  So files are asked first, without loading
 * them: a class that can be a default carries QK_DEFAULT_MARK. */
#include "config.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/loader-priv.h"
#include "qatkit/backend.h"
#include "qatkit/comm.h"

/* Whether one of the environment variables in TEXT, separated by spaces, is
 * set, or there is none in it; ROOM bytes of TEXT may be read. */
static bool
applies (const char *text, size_t room)
{
  char *copy = strndup (text, room), *name, *save = NULL;
  bool any = false, set = false;

  if (copy == NULL)
    return true;
  for (name = strtok_r (copy, " ", &save); name != NULL;
       name = strtok_r (NULL, " ", &save)) {
    any = true;
    set = set || getenv (name) != NULL;
  }
  free (copy);
  return !any || set;
}

/* Whether the SIZE bytes of an ELF file at DATA have a mark that applies
 * here, among what is constant when loaded. */
static bool
is_marked (const unsigned char *data, size_t size)
{
  static const char mark[] = QK_DEFAULT_MARK;
  const size_t len = sizeof mark - 1;
  ElfW (Ehdr) head;
  ElfW (Phdr) part;

  if (size < sizeof head)
    return false;
  memcpy (&head, data, sizeof head);
  if (memcmp (head.e_ident, ELFMAG, SELFMAG) != 0
      || head.e_phentsize != sizeof part || head.e_phoff > size
      || head.e_phnum > (size - head.e_phoff) / sizeof part)
    return false;
  for (int i = 0; i < head.e_phnum; i++) {
    const unsigned char *at, *end;

    memcpy (&part, data + head.e_phoff + (size_t) i * sizeof part,
            sizeof part);
    if (part.p_type != PT_LOAD || (part.p_flags & PF_W) != 0
        || part.p_offset > size || part.p_filesz > size - part.p_offset)
      continue;
    end = data + part.p_offset + part.p_filesz;
    for (at = data + part.p_offset;
         (at = memmem (at, (size_t) (end - at), mark, len)) != NULL;) {
      at += len;
      if (applies ((const char *) at, (size_t) (end - at)))
        return true;
    }
  }
  return false;
}

static bool
may_be_default (const char *path)
{
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat st;
  bool marked = false;
  void *data;

  if (fd < 0)
    return false;
  if (fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && st.st_size > 0) {
    data = mmap (NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data != MAP_FAILED) {
      marked = is_marked (data, (size_t) st.st_size);
      munmap (data, (size_t) st.st_size);
    }
  }
  close (fd);
  return marked;
}

static bool
is_for (const struct qk_class *c, unsigned use)
{
  return c->default_rank > 0
         && (use == 0 || c->default_for == 0 || (c->default_for & use) != 0);
}

/* The highest rank first, then by name. */
static int
by_rank (const void *a, const void *b)
{
  const struct qk_class *x = *(const struct qk_class *const *) a;
  const struct qk_class *y = *(const struct qk_class *const *) b;

  if (x->default_rank != y->default_rank)
    return x->default_rank > y->default_rank ? -1 : 1;
  return strcmp (x->name, y->name);
}

int
qk_context_ranked (struct qk_context *ctx, enum qk_kind kind, unsigned use,
                   const struct qk_class ***out)
{
  const struct qk_class **list;
  char **names, *path;
  size_t i, n = 0;
  int r;

  if ((r = qk_context_list (ctx, kind, &names)) < 0)
    return r;
  for (i = 0; names[i] != NULL; i++)
    n++;
  list = calloc (n + 1, sizeof *list);
  if (list == NULL)
    r = qk_oom ("list of %s plugins", qk_kind_name (kind));
  for (i = 0, n = 0; r == 0 && names[i] != NULL; i++) {
    const struct qk_class *c;

    if ((r = qk_context_path (ctx, kind, names[i], &path)) < 0)
      break;
    if (may_be_default (path)) {
      const int known = qk_context_class (ctx, kind, names[i], &c);

      if (known == -ENOMEM)
        r = known; /* another time it would be there */
      else if (known < 0)
        qk_log (ctx, QK_LOG_WARNING, "%s", qk_error_message ());
      else if (is_for (c, use))
        list[n++] = c;
    }
    free (path);
  }
  qk_names_free (names);
  if (r < 0) {
    free (list);
    return r;
  }
  qsort (list, n, sizeof *list, by_rank);
  *out = list;
  return 0;
}

/* Whether C can work in this process. */
static bool
works (const struct qk_class *c)
{
  const struct qk_comm_class *comm
    = (const struct qk_comm_class *) (const void *) c;
  struct qk_backend_caps caps;

  if (c->kind == QK_KIND_BACKEND) {
    memset (&caps, 0, sizeof caps);
    return ((const struct qk_backend_class *) (const void *) c)->probe (&caps)
           >= 0;
  }
  return c->kind != QK_KIND_COMM || comm->probe == NULL || comm->probe ();
}

int
qk_context_default (struct qk_context *ctx, enum qk_kind kind, unsigned use,
                    const struct qk_class **out)
{
  const struct qk_class **list;
  size_t i = 0;
  int r = qk_context_ranked (ctx, kind, use, &list);

  if (r < 0)
    return r;
  while (list[i] != NULL && !works (list[i]))
    i++;
  *out = list[i];
  free (list);
  return *out != NULL ? 0
                      : qk_error (-ENOENT,
                                  "no installed %s plugin can be the default "
                                  "here; 'qatkit plugins' lists those that "
                                  "can be named",
                                  qk_kind_name (kind));
}
