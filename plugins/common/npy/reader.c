/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reader.c: arrays as the named tensors of a format plugin. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "npy-priv.h"

struct npy_reader {
  struct npy_file *file;
  void **converted; /* of each array, qk_alloc; NULL until needed */
};

int
npy_reader_open (const struct qk_config *cfg, const char *path, void **self)
{
  struct npy_reader *r = calloc (1, sizeof *r);
  int err;

  (void) cfg;
  if (r == NULL)
    return qk_oom ("%s", path);
  err = npy_open (path, true, &r->file);
  if (err == 0) {
    r->converted
      = calloc ((size_t) npy_count (r->file) + 1, sizeof *r->converted);
    if (r->converted == NULL)
      err = qk_oom ("%s", path);
  }
  if (err < 0)
    npy_reader_close (r);
  else
    *self = r;
  return err;
}

void
npy_reader_close (void *self)
{
  struct npy_reader *r = self;
  int64_t i;

  if (r == NULL)
    return;
  for (i = 0; r->converted != NULL && i < npy_count (r->file); i++)
    qk_free (r->converted[i]);
  free (r->converted);
  npy_close (r->file);
  free (r);
}

int64_t
npy_reader_count (void *self)
{
  const struct npy_reader *r = self;

  return npy_count (r->file);
}

/* With -ENOTSUP out->name is set nevertheless. */
int
npy_reader_entry (void *self, int64_t i, struct qk_format_entry *out)
{
  struct npy_reader *r = self;
  struct npy_array a;
  int err;

  memset (out, 0, sizeof *out);
  if (i >= 0 && i < npy_count (r->file))
    out->name = npy_name (r->file, i);
  err = npy_get (r->file, i, &a);
  if (err < 0)
    return err;
  if (!npy_direct (&a) && r->converted[i] == NULL) {
    err = npy_convert (&a, out->name, &r->converted[i]);
    if (err < 0)
      return err;
  }
  out->tensor.dtype = npy_dtype (&a.type);
  out->tensor.shape = a.shape;
  out->tensor.data
    = r->converted[i] != NULL ? r->converted[i] : (void *) (uintptr_t) a.data;
  return 0;
}

/* There is none. */
const char *
npy_reader_metadata (void *self, const char *key)
{
  (void) self;
  (void) key;
  return NULL;
}
