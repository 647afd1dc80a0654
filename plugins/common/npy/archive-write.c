/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* archive-write.c: .npz, a zip archive of .npy files, written with libzip. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <zip.h>

#include "npy-priv.h"

#define NAME "%.200s"

/* The file that libzip writes through. */
struct sink {
  int fd;
  zip_error_t error;
};

static zip_int64_t
sink_failed (struct sink *s, int code)
{
  zip_error_set (&s->error, code, errno);
  return -1;
}

static zip_int64_t
sink_seek (struct sink *s, void *data, zip_uint64_t size)
{
  const zip_source_args_seek_t *args
    = ZIP_SOURCE_GET_ARGS (zip_source_args_seek_t, data, size, &s->error);

  if (args == NULL)
    return -1;
  return lseek (s->fd, args->offset, args->whence) < 0
           ? sink_failed (s, ZIP_ER_SEEK)
           : 0;
}

/* A zip_source_callback: an empty archive that is written in place. */
static zip_int64_t
sink_call (void *cookie, void *data, zip_uint64_t size, zip_source_cmd_t cmd)
{
  struct sink *s = cookie;
  off_t at;
  int err;

  switch (cmd) {
  case ZIP_SOURCE_WRITE:
    err = npy_write_all (s->fd, data, (size_t) size);
    if (err < 0) {
      errno = -err;
      return sink_failed (s, ZIP_ER_WRITE);
    }
    return (zip_int64_t) size;
  case ZIP_SOURCE_SEEK_WRITE:
    return sink_seek (s, data, size);
  case ZIP_SOURCE_TELL_WRITE:
    at = lseek (s->fd, 0, SEEK_CUR);
    return at < 0 ? sink_failed (s, ZIP_ER_TELL) : at;
  case ZIP_SOURCE_STAT:
    zip_stat_init (data);
    ((zip_stat_t *) data)->size = 0;
    ((zip_stat_t *) data)->valid = ZIP_STAT_SIZE;
    return sizeof (zip_stat_t);
  case ZIP_SOURCE_ERROR:
    return zip_error_to_data (&s->error, data, size);
  case ZIP_SOURCE_SUPPORTS:
    return zip_source_make_command_bitmap (
      ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
      ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
      ZIP_SOURCE_SUPPORTS, ZIP_SOURCE_BEGIN_WRITE, ZIP_SOURCE_COMMIT_WRITE,
      ZIP_SOURCE_ROLLBACK_WRITE, ZIP_SOURCE_WRITE, ZIP_SOURCE_SEEK_WRITE,
      ZIP_SOURCE_TELL_WRITE, ZIP_SOURCE_REMOVE, -1);
  case ZIP_SOURCE_OPEN:
  case ZIP_SOURCE_READ:
  case ZIP_SOURCE_CLOSE:
  case ZIP_SOURCE_FREE:
  case ZIP_SOURCE_SEEK:
  case ZIP_SOURCE_TELL:
  case ZIP_SOURCE_BEGIN_WRITE:
  case ZIP_SOURCE_COMMIT_WRITE:
  case ZIP_SOURCE_ROLLBACK_WRITE:
  case ZIP_SOURCE_REMOVE:
    return 0;
  default:
    return sink_failed (s, ZIP_ER_OPNOTSUPP);
  }
}

/* Header and numbers of one array, borrowed until the archive is closed. */
struct pieces {
  char header[512];
  zip_buffer_fragment_t fragment[2];
};

static int
add_entry (zip_t *zip, const struct qk_format_entry *e, struct pieces *p)
{
  const size_t bytes = (size_t) qk_shape_count (&e->tensor.shape)
                       * qk_dtype_size (e->tensor.dtype);
  zip_source_t *source;
  zip_int64_t index;
  char *name;
  int err = 0;

  p->fragment[0].data = (zip_uint8_t *) p->header;
  p->fragment[0].length = npy_header (&e->tensor, p->header, sizeof p->header);
  p->fragment[1].data = e->tensor.data;
  p->fragment[1].length = bytes;
  if (asprintf (&name, "%s.npy", e->name) < 0)
    return qk_oom ("npz");
  source = zip_source_buffer_fragment (zip, p->fragment, bytes > 0 ? 2 : 1, 0);
  index
    = source == NULL ? -1 : zip_file_add (zip, name, source, ZIP_FL_ENC_UTF_8);
  /* the time is NumPy's too: files do not depend on the clock */
  if (index < 0
      || zip_set_file_compression (zip, (zip_uint64_t) index, ZIP_CM_STORE, 0)
           < 0
      || zip_file_set_dostime (zip, (zip_uint64_t) index, 0, 1 << 5 | 1, 0)
           < 0) {
    err = qk_error (-EINVAL, "npz: array '" NAME "': %s", e->name,
                    zip_strerror (zip));
    if (index < 0)
      zip_source_free (source);
  }
  free (name);
  return err;
}

/* Fill ZIP and write it: closing does. */
static int
fill (zip_t *zip, const struct qk_format_entry *entries, int64_t n)
{
  struct pieces *p = calloc ((size_t) n + 1, sizeof *p);
  int64_t i;
  int err = p == NULL ? qk_oom ("npz") : 0;

  for (i = 0; err == 0 && i < n; i++)
    err = add_entry (zip, &entries[i], &p[i]);
  if (err == 0 && zip_close (zip) < 0) {
    const int number = zip_error_code_system (zip_get_error (zip));

    err = qk_error (number > 0 ? -number : -EIO, "cannot write the arrays: %s",
                    zip_strerror (zip));
    zip_discard (zip);
  } else if (err < 0)
    zip_discard (zip);
  free (p);
  return err;
}

int
npz_write (int fd, const struct qk_format_entry *entries, int64_t n)
{
  struct sink sink = { .fd = fd };
  zip_source_t *source;
  zip_error_t e;
  zip_t *zip;
  int64_t i;
  int err = 0;

  if (n < 1 || n > NPZ_MAX_ARRAYS)
    return qk_error (-EINVAL, "npz: %lld tensors, 1 to %d are possible",
                     (long long) n, NPZ_MAX_ARRAYS);
  for (i = 0; i < n; i++)
    if ((err = npy_check_entry (&entries[i])) < 0)
      return err;
  zip_error_init (&sink.error);
  zip_error_init (&e);
  source = zip_source_function_create (sink_call, &sink, &e);
  zip = source == NULL
          ? NULL
          : zip_open_from_source (source, ZIP_CREATE | ZIP_TRUNCATE, &e);
  if (zip == NULL) {
    if (source != NULL)
      zip_source_free (source);
    err = qk_error (-EIO, "npz: %s", zip_error_strerror (&e));
  } else
    err = fill (zip, entries, n);
  zip_error_fini (&e);
  zip_error_fini (&sink.error);
  return err;
}
