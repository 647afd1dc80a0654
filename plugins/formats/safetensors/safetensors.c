/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* safetensors.c: files of named tensors, readable by Python's safetensors.
 *
 * A file is: 8 bytes, little endian, the length N of the header; N bytes of
 * JSON, {"name": {"dtype": "F32", "shape": [2,3], "data_offsets": [0,24]},
 * …, "__metadata__": {"key": "text", …}}, padded with spaces; the data.
 * https://github.com/huggingface/safetensors#format
 *
 * A file is read whole: tensors are views of those bytes, which nobody changes
 * who overwrites the file.
 */
#include "config.h"

#include <sys/mman.h>

#include "mapped/mapped.h"
#include "safetensors-priv.h"

static int
safetensors_open (const struct qk_config *cfg, const char *path, void **self)
{
  struct st_file *f;
  void *map = NULL;
  size_t size = 0;
  int err;

  (void) cfg;
  err = mapped_open (path, 10, "a safetensors file", &map, &size);
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

static int
safetensors_open_memory (const struct qk_config *cfg, const void *data,
                         size_t size, const char *name, void **self)
{
  struct st_file *f;
  int err;

  (void) cfg;
  if (size < 10)
    return qk_error (-EBADMSG, "%s: %zu bytes, too few for a safetensors file",
                     name, size);
  err = st_parse (data, size, name, &f);
  if (err == 0)
    *self = f;
  return err;
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

/* A length that a header can have, and the brace it begins with. */
static bool
safetensors_recognize (const void *head, size_t n)
{
  const unsigned char *p = head;

  return n > 8 && p[8] == '{' && (p[0] | p[1] | p[2] | p[3]) != 0
         && (p[4] | p[5] | p[6] | p[7]) == 0;
}

static const char *const suffixes[] = { ".safetensors", NULL };

static const struct qk_format_class safetensors = {
  .cls = QK_CLASS (struct qk_format_class, QK_KIND_FORMAT, "safetensors",
                   "Named tensors with text metadata, as Python's "
                   "safetensors reads and writes them",
                   NULL),
  .suffixes = suffixes,
  .open = safetensors_open,
  .open_memory = safetensors_open_memory,
  .close = safetensors_close,
  .count = safetensors_count,
  .entry = st_entry,
  .recognize = safetensors_recognize,
  .metadata = st_metadata,
  .write = st_write,
};

QK_PLUGIN ("safetensors", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &safetensors.cls);
