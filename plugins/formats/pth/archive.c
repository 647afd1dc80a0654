/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* archive.c: the zip archive that torch.save writes:
 *
 *   PREFIX/data.pkl   what there is, a pickle
 *   PREFIX/data/KEY   the numbers of storage KEY, little endian
 *
 * Nothing in it is compressed, so that a file cannot be larger inside than
 * outside. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pth-priv.h"

#define NAME "%.200s"
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

  if (i < 0 || (name = zip_get_name (f->zip, (zip_uint64_t) i, 0)) == NULL)
    return damaged (f->path, "no data.pkl in the archive");
  base = strrchr (name, '/');
  f->prefix = strndup (name, base == NULL ? 0 : (size_t) (base - name) + 1);
  *index = (zip_uint64_t) i;
  return f->prefix == NULL ? qk_oom ("%s", f->path) : 0;
}

int
pth_read (zip_t *zip, uint64_t size, const char *path, struct pth_file **out)
{
  const uint64_t max = size < PICKLE_MAX_SIZE ? size : PICKLE_MAX_SIZE;
  struct pth_file *f = calloc (1, sizeof *f);
  zip_uint64_t index = 0;
  void *bytes = NULL;
  uint64_t n = 0;
  int r;

  if (f == NULL) {
    zip_discard (zip);
    return qk_oom ("%s", path);
  }
  f->zip = zip;
  f->size = size;
  /* a storage may be shared, but not read and copied without end */
  f->budget = 8 * size;
  if ((f->path = strdup (path)) == NULL) {
    r = qk_oom ("%s", path);
    goto error;
  }
  if ((r = find_pickle (f, &index)) < 0
      || (r = read_entry (f, index, max, &bytes, &n)) < 0)
    goto error;
  r = pickle_read (bytes, (size_t) n, path, &f->pickle);
  qk_free (bytes);
  if (r < 0)
    goto error;
  f->data = calloc ((size_t) f->pickle.n + 1, sizeof *f->data);
  if (f->data == NULL) {
    r = qk_oom ("%s", path);
    goto error;
  }
  *out = f;
  return 0;

error:
  pth_free (f);
  return r;
}

void
pth_free (struct pth_file *f)
{
  int64_t i;

  if (f == NULL)
    return;
  for (i = 0; f->data != NULL && i < f->pickle.n; i++)
    qk_free (f->data[i]);
  free (f->data);
  qk_free (f->storage);
  pickle_clear (&f->pickle);
  if (f->zip != NULL)
    zip_discard (f->zip);
  free (f->prefix);
  free (f->path);
  free (f);
}

/* ---- entries ----------------------------------------------------------------------- */

/* The elements of T, row-major, from those of its storage. */
static void
gather (const struct pickle_tensor *t, const char *from, char *to, size_t size)
{
  int64_t at[PICKLE_MAX_DIMS] = { 0 }, pos = t->offset, i;
  int d;

  for (i = 0; i < t->count; i++, to += size) {
    memcpy (to, from + (size_t) pos * size, size);
    for (d = t->ndim - 1; d >= 0; d--) {
      pos += t->stride[d];
      if (++at[d] < t->dims[d])
        break;
      pos -= t->stride[d] * t->dims[d];
      at[d] = 0;
    }
  }
}

/* The storage of T as f->storage. */
static int
load_storage (struct pth_file *f, const struct pickle_tensor *t)
{
  zip_int64_t index;
  char *name;
  int r;

  if (asprintf (&name, "%sdata/%s", f->prefix, t->storage) < 0)
    return qk_oom ("%s", f->path);
  index = zip_name_locate (f->zip, name, 0);
  free (name);
  if (index < 0)
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": its numbers are not "
                     "in the archive",
                     f->path, t->name);
  if (f->storage != NULL && f->storage_index == (zip_uint64_t) index)
    return 0;
  qk_free (f->storage);
  f->storage = NULL;
  r = read_entry (f, (zip_uint64_t) index,
                  f->size < f->budget ? f->size : f->budget, &f->storage,
                  &f->storage_size);
  if (r < 0)
    return r;
  f->storage_index = (zip_uint64_t) index;
  f->budget -= f->storage_size;
  return 0;
}

static int
load (struct pth_file *f, int64_t i)
{
  const struct pickle_tensor *t = &f->pickle.tensor[i];
  const size_t size = qk_dtype_size (t->dtype);
  const int r = load_storage (f, t);

  if (r < 0)
    return r;
  if (f->storage_size / size < (uint64_t) t->numel)
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": %llu bytes of "
                     "numbers, expected %lld elements of %s",
                     f->path, t->name, (unsigned long long) f->storage_size,
                     (long long) t->numel, qk_dtype_name (t->dtype));
  if ((uint64_t) t->count * size > f->budget)
    return qk_error (-EBADMSG, "%s: too many tensors share their numbers",
                     f->path);
  if ((f->data[i] = qk_alloc ((size_t) t->count * size + 1)) == NULL)
    return qk_oom ("%s: tensor \"" NAME "\"", f->path, t->name);
  gather (t, f->storage, f->data[i], size);
  f->budget -= (uint64_t) t->count * size;
  return 0;
}

/* With -ENOTSUP out->name is set nevertheless. */
int
pth_entry (void *self, int64_t i, struct qk_format_entry *out)
{
  struct pth_file *f = self;
  const struct pickle_tensor *t;
  const uint16_t one = 1;
  int r;

  memset (out, 0, sizeof *out);
  if (i < 0 || i >= f->pickle.n)
    return qk_error (-EINVAL, "%s: no tensor number %lld of %lld", f->path,
                     (long long) i, (long long) f->pickle.n);
  t = &f->pickle.tensor[i];
  out->name = t->name;
  if (t->ndim > QK_MAX_DIMS || t->dtype == QK_NONE)
    return qk_error (-ENOTSUP, "%s: tensor \"" NAME "\" has %s", f->path,
                     t->name,
                     t->dtype == QK_NONE ? "a type nothing here computes with"
                                         : "more than 4 dimensions");
  if (qk_dtype_size (t->dtype) > 1 && *(const unsigned char *) &one != 1)
    return qk_error (-ENOTSUP,
                     "%s: files of PyTorch cannot be read on a "
                     "machine of this byte order",
                     f->path);
  if (f->data[i] == NULL && (r = load (f, i)) < 0)
    return r;
  out->tensor.dtype = t->dtype;
  out->tensor.shape.ndim = t->ndim;
  memcpy (out->tensor.shape.dims, t->dims,
          (size_t) t->ndim * sizeof t->dims[0]);
  out->tensor.data = f->data[i];
  return 0;
}
