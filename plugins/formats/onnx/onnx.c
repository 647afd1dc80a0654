/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onnx.c: ONNX files: weights are read from their initializers, networks
 * written to them, int8 ones in QDQ form.
 * https://github.com/onnx/onnx/blob/main/docs/IR.md */
#include "config.h"

#include "onnx-priv.h"

static int
onnx_open (const struct qk_config *cfg, const char *path, void **self)
{
  struct onnx_weights *f;
  struct onnxfile *file;
  int r;

  (void) cfg;
  if ((r = onnxfile_open (path, &file)) < 0
      || (r = onnx_weights_read (file, &f)) < 0)
    return r;
  *self = f;
  return 0;
}

static void
onnx_close (void *self)
{
  onnx_weights_free (self);
}

static int64_t
onnx_count (void *self)
{
  const struct onnx_weights *f = self;

  return f->n;
}

static const char *const suffixes[] = { ".onnx", NULL };

/* Names as export's options have them; see onnx_write_network. */
static const char *const forms[] = { "qdq", "qoperator", NULL };
static const char *const ios[] = { "float", "uint8", "int8", NULL };

static const char *const weights[] = { "int8", "int4", NULL };

static const struct qk_option options[]
  = { { "form", QK_OPT_CHOICE, "qdq", 0, 0, forms,
        "How int8 networks are written: reals between QuantizeLinear and "
        "DequantizeLinear, or operators of integers" },
      { "io", QK_OPT_CHOICE, "float", 0, 0, ios,
        "Type of the inputs and outputs of int8 networks" },
      { "weights", QK_OPT_CHOICE, "int8", 0, 0, weights,
        "Type of weights of at most 4 bits, in QDQ form" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static const struct qk_format_class onnx = {
  .cls = QK_CLASS (struct qk_format_class, QK_KIND_FORMAT, "onnx",
                   "ONNX: weights from initializers; networks for other "
                   "programs, int8 ones with QuantizeLinear and "
                   "DequantizeLinear or as operators of integers",
                   options),
  .suffixes = suffixes,
  .open = onnx_open,
  .close = onnx_close,
  .count = onnx_count,
  .entry = onnx_entry,
  .metadata = onnx_metadata,
  .write_network = onnx_write_network,
  .write_files = onnx_write_vectors,
  .wide = true,
};

QK_PLUGIN ("onnx", PACKAGE_VERSION, "LGPL-2.1-or-later", &onnx.cls);
