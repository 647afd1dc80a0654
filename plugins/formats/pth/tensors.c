/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tensors.c: from storages to tensors: strides, byte order, types. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "half.h"
#include "pth-priv.h"

#define NAME "%.200s"

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

static bool
is_big_endian (void)
{
  const uint16_t one = 1;
  unsigned char first;

  memcpy (&first, &one, 1);
  return first == 0;
}

/* Turn the bytes of each of N elements round. */
static void
swap (char *x, int64_t n, size_t size)
{
  for (int64_t i = 0; i < n; i++, x += size)
    for (size_t a = 0, b = size - 1; a < b; a++, b--) {
      const char c = x[a];

      x[a] = x[b];
      x[b] = c;
    }
}

/* N elements of 2 bytes at FROM to 4 bytes at TO; FROM may be the second half
 * of TO. */
static void
widen (enum pickle_conversion how, const char *from, int64_t n, char *to)
{
  for (int64_t i = 0; i < n; i++) {
    uint16_t h;
    uint32_t bits;

    memcpy (&h, from + 2 * i, sizeof h);
    bits = how == PICKLE_HALF     ? half_bits (h)
           : how == PICKLE_BFLOAT ? (uint32_t) h << 16
                                  : (uint32_t) (int32_t) (int16_t) h;
    memcpy (to + 4 * i, &bits, sizeof bits);
  }
}

/* The storage of T as f->storage. */
static int
load_storage (struct pth_file *f, const struct pickle_tensor *t)
{
  const uint64_t max = f->size < f->budget ? f->size : f->budget;
  int r;

  if (f->storage != NULL && strcmp (f->storage_key, t->storage) == 0)
    return 0;
  qk_free (f->storage);
  f->storage = NULL;
  f->storage_key = t->storage; /* lives as long as the file */
  r = f->zip != NULL ? pth_archive_storage (f, t->storage, max, &f->storage,
                                            &f->storage_size)
                     : pth_legacy_storage (f, t->storage, max, &f->storage,
                                           &f->storage_size);
  if (r == -ENOENT)
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": its numbers are not in the "
                     "file",
                     f->path, t->name);
  if (r == 0)
    f->budget -= f->storage_size;
  return r;
}

static int
load (struct pth_file *f, int64_t i)
{
  const struct pickle_tensor *t = &f->pickle.tensor[i];
  const size_t size = t->type->size, wide = qk_dtype_size (t->type->dtype);
  const int r = load_storage (f, t);
  char *place;

  if (r < 0)
    return r;
  if (f->storage_size / size < (uint64_t) t->numel)
    return qk_error (-EBADMSG,
                     "%s: tensor \"" NAME "\": %llu bytes of "
                     "numbers, expected %lld elements of %s",
                     f->path, t->name, (unsigned long long) f->storage_size,
                     (long long) t->numel, t->type->scalar);
  if ((uint64_t) t->count * wide > f->budget)
    return qk_error (-EBADMSG, "%s: too many tensors share their numbers",
                     f->path);
  if ((f->data[i] = qk_alloc ((size_t) t->count * wide + 1)) == NULL)
    return qk_oom ("%s: tensor \"" NAME "\"", f->path, t->name);
  place = (char *) f->data[i] + (size_t) t->count * (wide - size);
  gather (t, f->storage, place, size);
  if (f->big != is_big_endian ())
    swap (place, t->count, size);
  if (wide != size)
    widen (t->type->conversion, place, t->count, f->data[i]);
  f->budget -= (uint64_t) t->count * wide;
  return 0;
}

/* With -ENOTSUP out->name is set nevertheless. */
int
pth_entry (void *self, int64_t i, struct qk_format_entry *out)
{
  struct pth_file *f = self;
  const struct pickle_tensor *t;
  int r;

  memset (out, 0, sizeof *out);
  if (i < 0 || i >= f->pickle.n)
    return qk_error (-EINVAL, "%s: no tensor number %lld of %lld", f->path,
                     (long long) i, (long long) f->pickle.n);
  t = &f->pickle.tensor[i];
  out->name = t->name;
  if (t->type->dtype == QK_NONE)
    return qk_error (-ENOTSUP,
                     "%s: tensor \"" NAME "\" has the type %s, which nothing "
                     "here computes with",
                     f->path, t->name,
                     *t->type->scalar ? t->type->scalar : "of bare bytes");
  if (f->data[i] == NULL && (r = load (f, i)) < 0)
    return r;
  out->tensor.dtype = t->type->dtype;
  out->tensor.shape.ndim = t->ndim;
  memcpy (out->tensor.shape.dims, t->dims,
          (size_t) t->ndim * sizeof t->dims[0]);
  out->tensor.data = f->data[i];
  return 0;
}
