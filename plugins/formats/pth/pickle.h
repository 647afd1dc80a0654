/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pickle.h: the tensors that a pickle of PyTorch describes.
 *
 * A pickle is a program for a small stack machine.  This one calls nothing:
 * of what a pickle wants from Python it knows dictionaries and tensors, and
 * everything else (arguments of the program, dates, schedulers, numbers of
 * NumPy …) becomes an object without contents. */
#ifndef PTH_PICKLE_H
#define PTH_PICKLE_H

#include <qatkit/format.h>

/* What a stranger's file can make the program allocate. */
#define PICKLE_MAX_SIZE ((size_t) 64 << 20)
#define PICKLE_MAX_OBJECTS 500000
#define PICKLE_MAX_NAME 1000
#define PICKLE_MAX_DIMS 8

/* What the elements of a storage become. */
enum pickle_conversion {
  PICKLE_DIRECT,
  PICKLE_HALF,        /* binary16 to f32 */
  PICKLE_BFLOAT,      /* the upper half of an f32 */
  PICKLE_SHORT,       /* int16 to i32 */
  PICKLE_UNSUPPORTED, /* nothing here computes with them */
  PICKLE_BYTES        /* a storage without a type: the tensor knows */
};

struct pickle_type {
  const char *name;    /* in Python: "FloatStorage" */
  const char *scalar;  /* "float32" */
  size_t size;         /* of an element in the file */
  enum qk_dtype dtype; /* when read; QK_NONE: not supported */
  enum pickle_conversion conversion;
};

struct pickle_tensor {
  char *name;    /* owned */
  char *storage; /* owned; the key of its storage: "0" */
  const struct pickle_type *type;
  int64_t numel;  /* elements of the storage */
  int64_t offset; /* of the first element */
  int ndim;
  int64_t dims[PICKLE_MAX_DIMS], stride[PICKLE_MAX_DIMS];
  int64_t count; /* elements of the tensor */
};

/* One that the pickle mentions, whoever uses it. */
struct pickle_storage {
  char *key; /* owned */
  const struct pickle_type *type;
  int64_t numel;
  uint64_t at; /* of its first byte in the file, if anybody sets it */
};

struct pickle {
  int64_t n;
  struct pickle_tensor *tensor;
  int64_t n_storages;
  struct pickle_storage *storage; /* sorted by key */
  size_t used;                    /* bytes of the pickle */
};

/* The tensors of the state dict in the pickle that BYTES begin with: of the
 * dictionary that it is, or of one in it (see pick.c).  PATH is for messages.
 * Every tensor lies within its storage and has no more elements than it.
 * -EBADMSG for damage and for files without tensors. */
int pickle_read (const void *bytes, size_t size, const char *path,
                 struct pickle *out);
void pickle_clear (struct pickle *p);
/* NULL: none of that key, which need not end in a zero byte. */
struct pickle_storage *pickle_find_storage (const struct pickle *p,
                                            const char *key, size_t length);

/* Pass over one pickle; *USED gets its size. */
int pickle_skip (const void *bytes, size_t size, const char *path,
                 size_t *used);
/* Call FN for every text of the list that the pickle is. */
int pickle_texts (const void *bytes, size_t size, const char *path,
                  int (*fn) (void *cookie, const char *text, size_t length),
                  void *cookie, size_t *used);

#endif /* PTH_PICKLE_H */
