/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* safetensors.c: files of named tensors, readable by Python's safetensors.
 *
 * A file is: 8 bytes, little endian, the length N of the header; N bytes of
 * JSON, {"name": {"dtype": "F32", "shape": [2,3], "data_offsets": [0,24]},
 * …, "__metadata__": {"key": "text", …}}, padded with spaces; the data.
 * https://github.com/huggingface/safetensors#format
 *
 * Files are mapped, not read: a tensor costs memory when it is used.  They
 * must not be shortened in place while open; files are replaced by renaming.
 */
#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "safetensors-priv.h"

/* Map the file at PATH; *BYTES is to be unmapped by the caller. */
static int
map_file (const char *path, void **bytes, size_t *size)
{
  struct stat st;
  int fd, err = 0;
  void *map;

  /* O_NONBLOCK: a fifo must not hang us before fstat refuses it */
  fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    err = -errno;
    return qk_error (err, "%s: cannot open: %s", path, strerror (-err));
  }
  if (fstat (fd, &st) < 0) {
    err = -errno;
    qk_error (err, "%s: cannot stat: %s", path, strerror (-err));
  } else if (!S_ISREG (st.st_mode)) {
    err = qk_error (-EINVAL, "%s: not a regular file", path);
  } else if (st.st_size < 10) {
    err = qk_error (-EBADMSG,
                    "%s: too short for a safetensors file: %lld bytes", path,
                    (long long) st.st_size);
  } else if ((uint64_t) st.st_size > SIZE_MAX / 2) {
    err = qk_error (-EFBIG, "%s: too large for this machine: %lld bytes",
                    path, (long long) st.st_size);
  } else {
    map = mmap (NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
      err = -errno;
      qk_error (err, "%s: cannot map %lld bytes: %s", path,
                (long long) st.st_size, strerror (-err));
    } else {
      *bytes = map;
      *size = (size_t) st.st_size;
    }
  }
  close (fd);
  return err;
}

static int
safetensors_open (const char *path, void **self)
{
  struct st_file *f;
  void *map = NULL;
  size_t size = 0;
  int err;

  err = map_file (path, &map, &size);
  if (err < 0)
    return err;
  err = st_parse (map, size, path, &f);
  if (err < 0) {
    munmap (map, size);
    return err;
  }
  f->map = map;
  f->map_size = size;
  *self = f;
  return 0;
}

static void
safetensors_close (void *self)
{
  st_free (self);
}

static int64_t
safetensors_count (void *self)
{
  const struct st_file *f = self;

  return f->n;
}

static const char *const suffixes[] = { ".safetensors", NULL };

static const struct qk_format_class safetensors = {
  .cls = QK_CLASS (struct qk_format_class, QK_KIND_FORMAT, "safetensors",
                   "Named tensors with text metadata, as Python's "
                   "safetensors reads and writes them",
                   NULL),
  .suffixes = suffixes,
  .open = safetensors_open,
  .close = safetensors_close,
  .count = safetensors_count,
  .entry = st_entry,
  .metadata = st_metadata,
  .write = st_write,
};

QK_PLUGIN ("safetensors", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &safetensors.cls);
