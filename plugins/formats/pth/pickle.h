/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pickle.h: the tensors that a pickle of PyTorch describes.
 *
 * A pickle is a program for a small stack machine.  This one knows the few
 * instructions and the few names that a state dict needs; it calls nothing,
 * and anything else is an error. */
#ifndef PTH_PICKLE_H
#define PTH_PICKLE_H

#include <qatkit/format.h>

/* What a stranger's file can make the program allocate. */
#define PICKLE_MAX_SIZE ((size_t) 64 << 20)
#define PICKLE_MAX_OBJECTS 500000
#define PICKLE_MAX_NAME 1000
#define PICKLE_MAX_DIMS 8

struct pickle_tensor {
  char *name;          /* owned */
  char *storage;       /* owned; the key of its storage: "0" */
  enum qk_dtype dtype; /* QK_NONE: one nothing here computes with */
  int64_t numel;       /* elements of the storage */
  int64_t offset;      /* of the first element */
  int ndim;
  int64_t dims[PICKLE_MAX_DIMS], stride[PICKLE_MAX_DIMS];
  int64_t count; /* elements of the tensor */
};

struct pickle {
  int64_t n;
  struct pickle_tensor *tensor;
};

/* The tensors of the state dict in the pickle BYTES: of the dictionary that
 * it is, or of the one called state_dict, model_state_dict or model in it.
 * PATH is for messages.  Every tensor lies within its storage and has no more
 * elements than it.  -EBADMSG for damage and for what is not allowed. */
int pickle_read (const void *bytes, size_t size, const char *path,
                 struct pickle *out);
void pickle_clear (struct pickle *p);

#endif /* PTH_PICKLE_H */
