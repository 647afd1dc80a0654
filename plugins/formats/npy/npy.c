/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* npy.c: an array of NumPy as a file of one tensor, which is called as the
 * file is. */
#include "config.h"

#include "npy/npy.h"

static int
write_array (const struct qk_config *cfg, int fd,
             const struct qk_format_entry *entries, int64_t n,
             const struct qk_format_meta *meta, int n_meta)
{
  (void) cfg;
  (void) meta; /* there is no room for text */
  (void) n_meta;
  return npy_write (fd, entries, n);
}

static const char *const suffixes[] = { ".npy", NULL };

static const struct qk_format_class npy = {
  .cls
  = QK_CLASS (struct qk_format_class, QK_KIND_FORMAT, "npy",
              "One array of NumPy, of any type of numbers and order", NULL),
  .suffixes = suffixes,
  .open = npy_reader_open,
  .close = npy_reader_close,
  .count = npy_reader_count,
  .entry = npy_reader_entry,
  .metadata = npy_reader_metadata,
  .write = write_array,
};

QK_PLUGIN ("npy", PACKAGE_VERSION, "LGPL-2.1-or-later", &npy.cls);
