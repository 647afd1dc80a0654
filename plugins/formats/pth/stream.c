/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stream.c: files of torch.save before PyTorch 1.6, read piece by piece. */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "legacy.h"
#include "pth-priv.h"

/* SIZE bytes from AT on; a file that became shorter is damaged. */
static int
read_at (struct pth_file *f, uint64_t at, void *to, size_t size)
{
  size_t done = 0;

  while (done < size) {
    const ssize_t n
      = pread (f->fd, (char *) to + done, size - done, (off_t) (at + done));

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      const int r = -errno;

      return qk_error (r, "%s: cannot read: %s", f->path, strerror (-r));
    }
    if (n == 0)
      return qk_error (-EBADMSG, "%s: cut short", f->path);
    done += (size_t) n;
  }
  return 0;
}

int
pth_read_legacy (struct pth_file *f)
{
  const size_t n
    = f->size < PICKLE_MAX_SIZE ? (size_t) f->size : PICKLE_MAX_SIZE;
  void *head = qk_alloc (n + 1);
  int r;

  if (head == NULL)
    return qk_oom ("%s", f->path);
  if ((r = read_at (f, 0, head, n)) == 0)
    r = legacy_layout (head, n, f->size, f->path, &f->pickle);
  qk_free (head);
  return r;
}

int
pth_legacy_storage (struct pth_file *f, const char *key, uint64_t max,
                    void **out, uint64_t *size)
{
  const struct pickle_storage *s
    = pickle_find_storage (&f->pickle, key, strlen (key));
  unsigned char count[8];
  uint64_t n = 0;
  int r;

  if (s == NULL || s->at == 0)
    return -ENOENT;
  if ((r = read_at (f, s->at - sizeof count, count, sizeof count)) < 0)
    return r;
  for (int i = 7; i >= 0; i--)
    n = n << 8 | count[i];
  if (n != (uint64_t) s->numel)
    return qk_error (-EBADMSG,
                     "%s: damaged: a storage of %llu elements, expected %lld",
                     f->path, (unsigned long long) n, (long long) s->numel);
  *size = n * s->type->size; /* within the file, as legacy_layout saw */
  if (*size > max)
    return qk_error (-EBADMSG, "%s: too many tensors share their numbers",
                     f->path);
  if ((*out = qk_alloc ((size_t) *size + 1)) == NULL)
    return qk_oom ("%s: %llu bytes", f->path, (unsigned long long) *size);
  if ((r = read_at (f, s->at, *out, (size_t) *size)) < 0) {
    qk_free (*out);
    *out = NULL;
  }
  return r;
}
