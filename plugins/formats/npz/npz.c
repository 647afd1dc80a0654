/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* npz.c: an archive of NumPy's arrays as named tensors. */
#include "config.h"

#include "npy/npy.h"

static int
write_arrays (const struct qk_config *cfg, int fd,
              const struct qk_format_entry *entries, int64_t n,
              const struct qk_format_meta *meta, int n_meta)
{
  (void) cfg;
  (void) meta; /* there is no room for text */
  (void) n_meta;
  return npz_write (fd, entries, n);
}

static const char *const suffixes[] = { ".npz", NULL };

static const struct qk_format_class npz = {
  .cls = QK_CLASS (struct qk_format_class, QK_KIND_FORMAT, "npz",
                   "An archive of NumPy's arrays, stored or compressed", NULL),
  .suffixes = suffixes,
  .open = npy_reader_open,
  .close = npy_reader_close,
  .count = npy_reader_count,
  .entry = npy_reader_entry,
  .metadata = npy_reader_metadata,
  .write = write_arrays,
};

QK_PLUGIN ("npz", PACKAGE_VERSION, "LGPL-2.1-or-later", &npz.cls);
