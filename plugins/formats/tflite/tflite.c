/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tflite.c: int8 networks as models of TFLite (LiteRT). */
#include "config.h"

#include "writer.h"

static int
tflite_open (const struct qk_config *cfg, const char *path, void **self)
{
  (void) cfg;
  (void) self;
  return qk_error (-ENOTSUP, "%s: TFLite models are written, not read", path);
}

static void
tflite_close (void *self)
{
  (void) self;
}

static int64_t
tflite_count (void *self)
{
  (void) self;
  return 0;
}

static int
tflite_entry (void *self, int64_t i, struct qk_format_entry *out)
{
  (void) self;
  (void) out;
  return qk_error (-EINVAL, "tflite: no tensor %lld", (long long) i);
}

static const char *
tflite_metadata (void *self, const char *key)
{
  (void) self;
  (void) key;
  return NULL;
}

static const char *const ios[] = { "float", "uint8", "int8", NULL };

static const struct qk_option options[]
  = { { "io", QK_OPT_CHOICE, "float", 0, 0, ios,
        "Type of the inputs and outputs" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static const char *const suffixes[] = { ".tflite", NULL };

static const struct qk_format_class tflite = {
  .cls = QK_CLASS (struct qk_format_class, QK_KIND_FORMAT, "tflite",
                   "Models of TFLite (LiteRT): int8 networks; written only",
                   options),
  .suffixes = suffixes,
  .open = tflite_open,
  .close = tflite_close,
  .count = tflite_count,
  .entry = tflite_entry,
  .metadata = tflite_metadata,
  .write_network = tflite_write_network,
};

QK_PLUGIN ("tflite", PACKAGE_VERSION, "LGPL-2.1-or-later", &tflite.cls);
