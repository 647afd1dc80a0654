/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* npy-priv.h: what the sources of this folder share. */
#ifndef QK_NPY_PRIV_H
#define QK_NPY_PRIV_H

#include "npy.h"

#define NPY_MAGIC "\x93NUMPY"
#define NPY_MAGIC_SIZE 6
#define NPZ_MAX_ARRAYS 100000

/* The arrays of a zip archive; without libzip there are none to open. */
struct npy_archive;

int npy_archive_open (const void *bytes, size_t size, const char *path,
                      struct npy_archive **out);
void npy_archive_close (struct npy_archive *a); /* accepts NULL */
int64_t npy_archive_count (const struct npy_archive *a);
const char *npy_archive_name (const struct npy_archive *a, int64_t i);
int npy_archive_get (struct npy_archive *a, int64_t i, struct npy_array *out);

/* A header for such an array into BUF; its length, or 0 if it does not fit. */
size_t npy_header (const struct qk_tensor *t, char *buf, size_t size);
/* Whether E can be written as an array. */
int npy_check_entry (const struct qk_format_entry *e);
int npy_write_all (int fd, const void *data, size_t size);

#endif /* QK_NPY_PRIV_H */
