/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* archive.c: .npz, a zip archive of .npy files, read with libzip. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zip.h>

#include "npy-priv.h"

#define NAME "%.200s"
#define FIRST_PIECE ((size_t) 1 << 17) /* holds any header */
#define MOST_INFLATED 1032             /* deflate's best ratio */

struct member {
  char *name;  /* without ".npy" */
  char *where; /* "x.npz: array 'name'", for errors */
  zip_uint64_t index;
  void *data; /* the whole .npy, once it was asked for */
  size_t size;
};

struct npy_archive {
  char *path;
  zip_t *zip;
  uint64_t size; /* of the archive */
  int64_t n;
  struct member *member;
};

/* ---- reading ---------------------------------------------------------*/

static int
zip_failed (const char *path, zip_error_t *e)
{
  return qk_error (-EBADMSG, "%s: not a whole archive (.npz): %s", path,
                   zip_error_strerror (e));
}

static int
open_zip (const void *bytes, size_t size, const char *path, zip_t **out)
{
  zip_error_t e;
  zip_source_t *source;
  int err = 0;

  zip_error_init (&e);
  source = zip_source_buffer_create (bytes, size, 0, &e);
  if (source == NULL)
    err = qk_oom ("%s", path);
  else if ((*out = zip_open_from_source (source, ZIP_RDONLY, &e)) == NULL) {
    zip_source_free (source);
    err = zip_failed (path, &e);
  }
  zip_error_fini (&e);
  return err;
}

/* Whether entry INDEX is an array, and its name. */
static int
add_member (struct npy_archive *a, zip_uint64_t index)
{
  const char *name = zip_get_name (a->zip, index, 0);
  const size_t n = name != NULL ? strlen (name) : 0;
  struct member *m = &a->member[a->n];

  if (n < 5 || strcmp (name + n - 4, ".npy") != 0)
    return 0;
  m->index = index;
  m->name = strndup (name, n - 4);
  if (m->name == NULL
      || asprintf (&m->where, "%s: array '" NAME "'", a->path, m->name) < 0) {
    m->where = NULL;
    free (m->name);
    m->name = NULL;
    return qk_oom ("%s", a->path);
  }
  a->n++;
  return 0;
}

int
npy_archive_open (const void *bytes, size_t size, const char *path,
                  struct npy_archive **out)
{
  struct npy_archive *a = calloc (1, sizeof *a);
  zip_int64_t n = 0, i;
  int err = 0;

  if (a == NULL || (a->path = strdup (path)) == NULL)
    err = qk_oom ("%s", path);
  if (err == 0)
    err = open_zip (bytes, size, path, &a->zip);
  if (err == 0) {
    a->size = size;
    n = zip_get_num_entries (a->zip, 0);
    if (n > NPZ_MAX_ARRAYS)
      err = qk_error (-EBADMSG, "%s: %lld files, at most %d are accepted",
                      path, (long long) n, NPZ_MAX_ARRAYS);
    else if ((a->member = calloc ((size_t) n + 1, sizeof *a->member)) == NULL)
      err = qk_oom ("%s", path);
  }
  for (i = 0; err == 0 && i < n; i++)
    err = add_member (a, (zip_uint64_t) i);
  if (err < 0)
    npy_archive_close (a);
  else
    *out = a;
  return err;
}

void
npy_archive_close (struct npy_archive *a)
{
  int64_t i;

  if (a == NULL)
    return;
  for (i = 0; i < a->n; i++) {
    free (a->member[i].name);
    free (a->member[i].where);
    qk_free (a->member[i].data);
  }
  free (a->member);
  if (a->zip != NULL)
    zip_discard (a->zip);
  free (a->path);
  free (a);
}

int64_t
npy_archive_count (const struct npy_archive *a)
{
  return a->n;
}

const char *
npy_archive_name (const struct npy_archive *a, int64_t i)
{
  return a->member[i].name;
}

/* Whether the sizes that the archive claims for M are possible. */
static int
check_sizes (const struct npy_archive *a, const struct member *m,
             zip_stat_t *st)
{
  zip_stat_init (st);
  if (zip_stat_index (a->zip, m->index, 0, st) < 0
      || !(st->valid & ZIP_STAT_SIZE) || !(st->valid & ZIP_STAT_COMP_SIZE)
      || !(st->valid & ZIP_STAT_COMP_METHOD))
    return qk_error (-EBADMSG, "%s: its entry of the archive is damaged",
                     m->where);
  if (st->comp_method != ZIP_CM_STORE && st->comp_method != ZIP_CM_DEFLATE)
    return qk_error (-ENOTSUP,
                     "%s: compressed by method %d, known are stored (0) and "
                     "deflated (8)",
                     m->where, (int) st->comp_method);
  if (st->comp_size > a->size
      || st->size / MOST_INFLATED > st->comp_size + MOST_INFLATED)
    return qk_error (-EBADMSG,
                     "%s: claims %llu bytes, compressed %llu, in an archive "
                     "of %llu",
                     m->where, (unsigned long long) st->size,
                     (unsigned long long) st->comp_size,
                     (unsigned long long) a->size);
  return 0;
}

/* The next N bytes of Z. */
static int
read_piece (const struct member *m, zip_file_t *z, void *to, size_t n)
{
  size_t got = 0;

  while (got < n) {
    const zip_int64_t k = zip_fread (z, (char *) to + got, n - got);

    if (k <= 0)
      return qk_error (-EBADMSG, "%s: damaged: %s", m->where,
                       k == 0 ? "it ends early" : zip_file_strerror (z));
    got += (size_t) k;
  }
  return 0;
}

/* All SIZE bytes of M; the header says that they are what it claims before
 * there is memory for more than a first piece. */
static int
read_bytes (struct member *m, zip_file_t *z, size_t size)
{
  const size_t first = size < FIRST_PIECE ? size : FIRST_PIECE;
  struct npy_array a;
  char end;
  char *data = qk_alloc (first + 1), *all;
  int err;

  if (data == NULL)
    return qk_oom ("%s", m->where);
  err = read_piece (m, z, data, first);
  if (err == 0)
    err = npy_parse (data, first, size, m->where, &a);
  if (err == 0 && first < size) {
    if ((all = qk_alloc (size)) == NULL)
      err = qk_oom ("%s: %zu bytes", m->where, size);
    else {
      memcpy (all, data, first);
      qk_free (data);
      data = all;
      err = read_piece (m, z, data + first, size - first);
    }
  }
  /* reading on finds the end, where the checksum is compared */
  if (err == 0 && zip_fread (z, &end, 1) != 0)
    err = qk_error (-EBADMSG, "%s: damaged: its checksum or its size is wrong",
                    m->where);
  if (err < 0)
    qk_free (data);
  else {
    m->data = data;
    m->size = size;
  }
  return err;
}

static int
load (struct npy_archive *a, struct member *m)
{
  zip_stat_t st;
  zip_file_t *z;
  int err = check_sizes (a, m, &st);

  if (err < 0)
    return err;
  z = zip_fopen_index (a->zip, m->index, 0);
  if (z == NULL)
    return qk_error (-EBADMSG, "%s: cannot be opened: %s", m->where,
                     zip_strerror (a->zip));
  err = read_bytes (m, z, (size_t) st.size);
  zip_fclose (z);
  return err;
}

int
npy_archive_get (struct npy_archive *a, int64_t i, struct npy_array *out)
{
  struct member *m = &a->member[i];
  const int err = m->data == NULL ? load (a, m) : 0;

  return err < 0 ? err : npy_parse (m->data, m->size, m->size, m->where, out);
}
