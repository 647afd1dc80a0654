/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* archive.c: the zip archive that torch.save writes:
 *
 *   PREFIX/data.pkl    what there is, a pickle
 *   PREFIX/data/KEY    the numbers of storage KEY
 *   PREFIX/byteorder   "little" or "big" (since 2.1; before: little)
 *
 * Nothing in it is compressed, so that a file cannot be larger inside than
 * outside. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pth-priv.h"

#define PICKLE_NAME "data.pkl"

static int
damaged (const char *path, const char *what)
{
  return qk_error (-EBADMSG,
                   "%s: not a PyTorch file of weights, or damaged: "
                   "%s",
                   path, what);
}

/* The whole entry INDEX, which is not compressed and has at most MAX bytes;
 * for qk_free. */
static int
read_entry (struct pth_file *f, zip_uint64_t index, uint64_t max, void **out,
            uint64_t *size)
{
  zip_file_t *z;
  zip_stat_t st;
  zip_int64_t n;

  zip_stat_init (&st);
  if (zip_stat_index (f->zip, index, 0, &st) < 0 || !(st.valid & ZIP_STAT_SIZE)
      || !(st.valid & ZIP_STAT_COMP_METHOD))
    return damaged (f->path, "an entry of the archive");
  if (st.comp_method != ZIP_CM_STORE || st.size > max)
    return damaged (f->path, "a compressed or too large entry");
  if ((*out = qk_alloc ((size_t) st.size + 1)) == NULL)
    return qk_oom ("%s: %llu bytes", f->path, (unsigned long long) st.size);
  *size = st.size;
  z = zip_fopen_index (f->zip, index, 0);
  n = z == NULL ? -1 : zip_fread (z, *out, st.size);
  /* reading on finds the end, where the checksum is compared */
  if (n >= 0 && (uint64_t) n == st.size)
    n = zip_fread (z, (char *) *out + st.size, 1) == 0 ? n : -1;
  if (z != NULL)
    zip_fclose (z);
  if (n < 0 || (uint64_t) n != st.size) {
    qk_free (*out);
    *out = NULL;
    return damaged (f->path, "the checksum of an entry is wrong");
  }
  return 0;
}

/* data.pkl, in whatever folder it is. */
static int
find_pickle (struct pth_file *f, zip_uint64_t *index)
{
  const zip_int64_t i = zip_name_locate (f->zip, PICKLE_NAME, ZIP_FL_NODIR);
  const char *name, *base;

  if (zip_name_locate (f->zip, "constants.pkl", ZIP_FL_NODIR) >= 0)
    return qk_error (-EBADMSG,
                     "%s: an archive of TorchScript, a program: load it in "
                     "Python (torch.jit.load) and save its state_dict()",
                     f->path);
  if (i < 0 || (name = zip_get_name (f->zip, (zip_uint64_t) i, 0)) == NULL)
    return damaged (f->path, "no data.pkl in the archive");
  base = strrchr (name, '/');
  f->prefix = strndup (name, base == NULL ? 0 : (size_t) (base - name) + 1);
  *index = (zip_uint64_t) i;
  return f->prefix == NULL ? qk_oom ("%s", f->path) : 0;
}

/* The index of entry NAME behind the prefix; -ENOENT without a sentence. */
static zip_int64_t
find_entry (struct pth_file *f, const char *folder, const char *name)
{
  zip_int64_t index;
  char *path;

  if (asprintf (&path, "%s%s%s", f->prefix, folder, name) < 0)
    return qk_oom ("%s", f->path);
  index = zip_name_locate (f->zip, path, 0);
  free (path);
  return index < 0 ? -ENOENT : index;
}

static int
find_byte_order (struct pth_file *f)
{
  const zip_int64_t i = find_entry (f, "", "byteorder");
  void *text = NULL;
  uint64_t n = 0;
  int r;

  if (i < 0)
    return i == -ENOENT ? 0 : (int) i;
  if ((r = read_entry (f, (zip_uint64_t) i, 16, &text, &n)) < 0)
    return r;
  f->big = n == 3 && memcmp (text, "big", 3) == 0;
  if (!f->big && (n != 6 || memcmp (text, "little", 6) != 0))
    r = damaged (f->path, "its byte order is neither little nor big");
  qk_free (text);
  return r;
}

int
pth_read_archive (struct pth_file *f)
{
  const uint64_t max = f->size < PICKLE_MAX_SIZE ? f->size : PICKLE_MAX_SIZE;
  zip_uint64_t index = 0;
  void *bytes = NULL;
  uint64_t n = 0;
  int r;

  if ((r = find_pickle (f, &index)) < 0 || (r = find_byte_order (f)) < 0
      || (r = read_entry (f, index, max, &bytes, &n)) < 0)
    return r;
  r = pickle_read (bytes, (size_t) n, f->path, &f->pickle);
  qk_free (bytes);
  return r;
}

int
pth_archive_storage (struct pth_file *f, const char *key, uint64_t max,
                     void **out, uint64_t *size)
{
  const zip_int64_t i = find_entry (f, "data/", key);

  return i < 0 ? (int) i : read_entry (f, (zip_uint64_t) i, max, out, size);
}
