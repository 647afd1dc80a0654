/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* file.c: a .npy or .npz file, whichever it is. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mapped/mapped.h"
#include "npy-priv.h"

#define ZIP_MAGIC "PK"

struct npy_file {
  char *path, *name;
  void *map;  /* NULL: the bytes are somebody else's, or copied */
  void *copy; /* qk_alloc, or NULL */
  size_t map_size;
  const void *bytes;
  size_t size;
  struct npy_archive *archive; /* NULL: one array */
};

/* "x" of "folder/x.npy" */
static char *
base_name (const char *path)
{
  const char *slash = strrchr (path, '/');
  const char *base = slash != NULL ? slash + 1 : path;
  const char *dot = strrchr (base, '.');

  return strndup (base, dot != NULL && dot > base ? (size_t) (dot - base)
                                                  : strlen (base));
}

/* Take the bytes of F for what they are. */
static int
recognise (struct npy_file *f)
{
  if (f->size >= NPY_MAGIC_SIZE
      && memcmp (f->bytes, NPY_MAGIC, NPY_MAGIC_SIZE) == 0)
    return 0;
  if (f->size >= 4 && memcmp (f->bytes, ZIP_MAGIC, 2) == 0)
    return npy_archive_open (f->bytes, f->size, f->path, &f->archive);
  return qk_error (-EBADMSG,
                   "%s: neither an array of NumPy (.npy) nor an archive of "
                   "arrays (.npz)",
                   f->path);
}

static int
new_file (const char *path, struct npy_file **out)
{
  struct npy_file *f = calloc (1, sizeof *f);

  if (f == NULL || (f->path = strdup (path)) == NULL
      || (f->name = base_name (path)) == NULL) {
    npy_close (f);
    return qk_oom ("%s", path);
  }
  *out = f;
  return 0;
}

int
npy_open_memory (const void *bytes, size_t size, const char *path,
                 struct npy_file **out)
{
  struct npy_file *f;
  int err = new_file (path, &f);

  if (err < 0)
    return err;
  f->bytes = bytes;
  f->size = size;
  err = recognise (f);
  if (err < 0)
    npy_close (f);
  else
    *out = f;
  return err;
}

/* Have the file's bytes in memory of our own instead of a map. */
static int
copy_bytes (struct npy_file *f)
{
  if ((f->copy = qk_alloc (f->map_size)) == NULL)
    return qk_oom ("%s: %zu bytes", f->path, f->map_size);
  memcpy (f->copy, f->map, f->map_size);
  munmap (f->map, f->map_size);
  f->map = NULL;
  f->bytes = f->copy;
  return 0;
}

int
npy_open (const char *path, bool mapped, struct npy_file **out)
{
  struct npy_file *f;
  int err = new_file (path, &f);

  if (err < 0)
    return err;
  err = mapped_open (path, 10, "an array of NumPy", &f->map, &f->map_size);
  if (err == 0) {
    f->bytes = f->map;
    f->size = f->map_size;
    err = mapped ? 0 : copy_bytes (f);
  }
  if (err == 0)
    err = recognise (f);
  if (err < 0)
    npy_close (f);
  else
    *out = f;
  return err;
}

void
npy_close (struct npy_file *f)
{
  if (f == NULL)
    return;
  npy_archive_close (f->archive);
  if (f->map != NULL)
    munmap (f->map, f->map_size);
  qk_free (f->copy);
  free (f->name);
  free (f->path);
  free (f);
}

int64_t
npy_count (const struct npy_file *f)
{
  return f->archive != NULL ? npy_archive_count (f->archive) : 1;
}

const char *
npy_name (const struct npy_file *f, int64_t i)
{
  return f->archive != NULL ? npy_archive_name (f->archive, i) : f->name;
}

int64_t
npy_find (const struct npy_file *f, const char *name)
{
  int64_t i;

  for (i = 0; i < npy_count (f); i++)
    if (strcmp (npy_name (f, i), name) == 0)
      return i;
  return -ENOENT;
}

int
npy_get (struct npy_file *f, int64_t i, struct npy_array *out)
{
  if (i < 0 || i >= npy_count (f))
    return qk_error (-EINVAL, "%s: no array number %lld of %lld", f->path,
                     (long long) i, (long long) npy_count (f));
  return f->archive != NULL
           ? npy_archive_get (f->archive, i, out)
           : npy_parse (f->bytes, f->size, f->size, f->path, out);
}
