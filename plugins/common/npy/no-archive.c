/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* no-archive.c: .npz where libzip is missing: an error that says so. */
#include "config.h"

#include "npy-priv.h"

static int
no_libzip (const char *path)
{
  return qk_error (-ENOTSUP,
                   "%s: archives of arrays (.npz) need libzip, which this "
                   "qatkit was built without",
                   path);
}

int
npy_archive_open (const void *bytes, size_t size, const char *path,
                  struct npy_archive **out)
{
  (void) bytes;
  (void) size;
  (void) out;
  return no_libzip (path);
}

void
npy_archive_close (struct npy_archive *a)
{
  (void) a;
}

int64_t
npy_archive_count (const struct npy_archive *a)
{
  (void) a;
  return 0;
}

const char *
npy_archive_name (const struct npy_archive *a, int64_t i)
{
  (void) a;
  (void) i;
  return NULL;
}

int
npy_archive_get (struct npy_archive *a, int64_t i, struct npy_array *out)
{
  (void) a;
  (void) i;
  (void) out;
  return no_libzip ("?");
}

int
npz_write (int fd, const struct qk_format_entry *entries, int64_t n)
{
  (void) fd;
  (void) entries;
  (void) n;
  return no_libzip ("npz");
}
