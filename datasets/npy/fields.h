/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fields.h: the arrays that inputs and targets are taken from. */
#ifndef NPY_FIELDS_H
#define NPY_FIELDS_H

#include <qatkit/dataset.h>

#include "npy/npy.h"

/* One input or target: an array whose first axis counts the samples. */
struct field {
  char *name;
  char *where; /* the file, and which array of it, for messages */
  struct npy_file *file;
  struct npy_array array;
  int axis[QK_MAX_DIMS]; /* the array's axis that each of a sample's axes is;
                            -1: one of size 1 that the array lacks */
  struct npy_box sample; /* sample 0, its axes in our order */
  int64_t size;          /* elements of a sample */
};

struct fields {
  int n;
  struct field field[QK_DATASET_MAX_TENSORS];
};

/* Open the arrays that LIST names: "x.npy, mask = m.npz:mask"; files are
 * within ROOT, an array without a name is called as its file or itself.  KEY
 * names the option in errors.  F is to be cleared, also after an error. */
int fields_open (struct fields *f, const char *list, const char *root,
                 const char *key, bool mapped);
void fields_clear (struct fields *f);

/* Arrange the axes of the inputs as LAYOUTS says, one word for all of them or
 * one each, separated by commas: as-is, nhwc, nchw (channels, axis 1, become
 * the last axis) or nhw (a last axis of one channel is added). */
int fields_arrange (struct fields *f, const char *layouts);

/* How many samples: the same number in all of A and B. */
int fields_count (const struct fields *a, const struct fields *b,
                  int64_t *count);

/* The box of sample ROW. */
struct npy_box field_box (const struct field *f, int64_t row);
/* The shape of a sample, its batch axis 1. */
struct qk_shape field_shape (const struct field *f);

/* The one sample in the file F of the user's, at PATH, arranged as those of
 * LIKE: the array of LIKE's name, or the file's only one where ANY; with a
 * first axis of 1, or without it.  OUT borrows from all of them. */
int field_single (const struct field *like, struct npy_file *f,
                  const char *path, bool any, struct field *out);

/* -EBADMSG, naming sample ROW and the element's place in it, because of
 * element AT of it. */
int field_bad_element (const struct field *f, int64_t row, int64_t at,
                       const char *what);

#endif /* NPY_FIELDS_H */
