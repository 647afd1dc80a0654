/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onnx.c: ONNX files: weights are read from their initializers, networks
 * written to them, int8 ones in QDQ form.
 * https://github.com/onnx/onnx/blob/main/docs/IR.md */
#include "config.h"

#include <sys/mman.h>

#include "mapped/mapped.h"
#include "onnx-priv.h"

static int
onnx_open (const struct qk_config *cfg, const char *path, void **self)
{
  struct onnx_file *f;
  void *map = NULL;
  size_t size = 0;
  int err;

  (void) cfg;
  if ((err = mapped_open (path, 1, "an ONNX file", &map, &size)) < 0)
    return err;
  if ((err = onnx_parse (map, size, path, &f)) < 0) {
    munmap (map, size);
    return err;
  }
  f->map = map;
  f->map_size = size;
  *self = f;
  return 0;
}

static void
onnx_close (void *self)
{
  onnx_free (self);
}

static int64_t
onnx_count (void *self)
{
  const struct onnx_file *f = self;

  return f->n;
}

/* An ONNX file is never one of our models or checkpoints. */
static const char *
onnx_metadata (void *self, const char *key)
{
  (void) self;
  (void) key;
  return NULL;
}

static const char *const suffixes[] = { ".onnx", NULL };

static const struct qk_format_class onnx = {
  .cls = QK_CLASS (struct qk_format_class, QK_KIND_FORMAT, "onnx",
                   "ONNX: weights from initializers; networks for other "
                   "programs, int8 ones with QuantizeLinear and "
                   "DequantizeLinear",
                   NULL),
  .suffixes = suffixes,
  .open = onnx_open,
  .close = onnx_close,
  .count = onnx_count,
  .entry = onnx_entry,
  .metadata = onnx_metadata,
  .write_network = onnx_write_network,
};

QK_PLUGIN ("onnx", PACKAGE_VERSION, "LGPL-2.1-or-later", &onnx.cls);
