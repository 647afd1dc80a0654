/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* npy.h: NumPy's arrays in files (.npy) and archives of them (.npz).
 *
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 * Files are untrusted: what a header claims is compared with the size of the
 * file before memory is spent on it, and nothing is unpickled. */
#ifndef QK_NPY_H
#define QK_NPY_H

#include <qatkit/format.h>

/* The elements of an array as the file has them. */
struct npy_type {
  char kind;    /* 'f' floating point, 'i' signed, 'u' unsigned, 'b' bool */
  int size;     /* bytes: 1, 2, 4, 8 */
  bool swapped; /* of the other byte order */
};

struct npy_array {
  struct npy_type type;
  struct qk_shape shape;       /* as in the file; ndim 0 for a single number */
  int64_t stride[QK_MAX_DIMS]; /* in elements, from one index to the next */
  int64_t count;               /* elements */
  const unsigned char *data;   /* borrowed; perhaps not aligned */
};

/* The array whose file begins with the SIZE bytes at BYTES and has TOTAL
 * bytes in all; OUT->data lies within BYTES where it is SIZE == TOTAL, else it
 * is NULL and only the header was checked.  WHERE names the file in errors.
 * -EBADMSG: damaged; -ENOTSUP: whole, but of objects, text, complex numbers,
 * or more than QK_MAX_DIMS dimensions. */
int npy_parse (const void *bytes, size_t size, uint64_t total,
               const char *where, struct npy_array *out);

/* "float32", "byte-swapped int16" into BUF; returns BUF. */
const char *npy_type_print (const struct npy_type *t, char *buf, size_t size);

/* The dtype whose numbers hold all of T's: f16 f32, bool u8, i16 and u16 i32,
 * u32 and u64 i64, others themselves. */
enum qk_dtype npy_dtype (const struct npy_type *t);

/* A box of elements: NDIM axes, each with its size and its step through the
 * array; the first of them is element FIRST. */
struct npy_box {
  int ndim;
  int64_t dims[QK_MAX_DIMS], step[QK_MAX_DIMS];
  int64_t first;
};

/* The whole of A. */
void npy_whole (const struct npy_array *a, struct npy_box *out);

/* Elements BOX of A, row-major, into OUT as floats (rounded to nearest, as
 * NumPy's astype rounds). */
void npy_floats (const struct npy_array *a, const struct npy_box *box,
                 float *out);
/* As i64; A is not of kind 'f'.  Numbers of u64 beyond i64 become INT64_MAX. */
void npy_integers (const struct npy_array *a, const struct npy_box *box,
                   int64_t *out);

/* All elements of A, row-major, as npy_dtype (A's type) says; *OUT is for
 * qk_free.  -ENOTSUP for numbers of u64 beyond i64. */
int npy_convert (const struct npy_array *a, const char *where, void **out);
/* Whether A's data are already what npy_convert would give. */
bool npy_direct (const struct npy_array *a);

/* ---- files -----------------------------------------------------------*/

/* A file open for reading: one array, or an archive of them, recognised by
 * its content. */
struct npy_file;

/* With MAPPED the file is mapped and must not be shortened in place while
 * open; without, read.  Arrays of an archive are always read.  *OUT is for
 * npy_close. */
int npy_open (const char *path, bool mapped, struct npy_file **out);
/* The same of SIZE bytes in memory, borrowed until npy_close. */
int npy_open_memory (const void *bytes, size_t size, const char *path,
                     struct npy_file **out);
void npy_close (struct npy_file *f); /* accepts NULL */

/* How many arrays, and what array I is called: its name in the archive, or
 * the file's, without ".npy".  Borrowed until close. */
int64_t npy_count (const struct npy_file *f);
const char *npy_name (const struct npy_file *f, int64_t i);
/* Number of the array NAME; -ENOENT (without a sentence) if there is none. */
int64_t npy_find (const struct npy_file *f, const char *name);
/* Array I, borrowed until close.  Errors as npy_parse's. */
int npy_get (struct npy_file *f, int64_t i, struct npy_array *out);

/* ---- the slots of formats ----------------------------------------------*/

struct npy_reader;
int npy_reader_open (const struct qk_config *cfg, const char *path,
                     void **self);
void npy_reader_close (void *self); /* accepts NULL */
int64_t npy_reader_count (void *self);
int npy_reader_entry (void *self, int64_t i, struct qk_format_entry *out);
const char *npy_reader_metadata (void *self, const char *key);

/* Write one tensor as .npy, or any number as .npz, not compressed. */
int npy_write (int fd, const struct qk_format_entry *entries, int64_t n);
int npz_write (int fd, const struct qk_format_entry *entries, int64_t n);

#endif /* QK_NPY_H */
