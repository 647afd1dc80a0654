/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onnxfile.h: ONNX files, read as structures of protobuf-c, and the constant
 * tensors in them.  Nothing in such a file is trusted.
 * https://github.com/onnx/onnx/blob/main/docs/IR.md */
#ifndef QATKIT_COMMON_ONNXFILE_H
#define QATKIT_COMMON_ONNXFILE_H

#include <qatkit/tensor.h>

#include "onnx.pb-c.h"

/* What a stranger's file can make the program allocate is bounded by these
 * and by its own size. */
#define ONNXFILE_MAX_DEPTH 24         /* messages in messages */
#define ONNXFILE_MAX_MESSAGES 2000000 /* in the whole file */
#define ONNXFILE_MAX_NAME 1000        /* bytes */

struct onnxfile {
  char *path;
  char *folder; /* that data outside the file are relative to; "." */
  Onnx__ModelProto *model;
  int64_t opset; /* version of the operators without a domain */
};

/* Read the file at PATH.  It belongs to the caller: onnxfile_close.
 * -EBADMSG for anything wrong with it. */
int onnxfile_open (const char *path, struct onnxfile **out);
/* The same from SIZE BYTES, which are copied. */
int onnxfile_read (const void *bytes, size_t size, const char *path,
                   struct onnxfile **out);
void onnxfile_close (struct onnxfile *f); /* accepts NULL */

/* Whether NAME may be shown on a terminal and is short enough. */
bool onnxfile_good_name (const char *name);

/* ---- constants --------------------------------------------------------- */

/* A tensor that is known before the network runs: real numbers as float, all
 * others (integers, booleans) as int64_t.  It belongs to who made it. */
struct onnx_const {
  bool real;
  int type;              /* enum of TensorProto.DataType that it had */
  struct qk_shape shape; /* ndim 0: a scalar */
  int64_t n;             /* elements */
  union {
    float *f;
    int64_t *i;
    void *data;
  };
};

/* Zeroed; the data may be of 0 elements. */
int onnx_const_new (bool real, const struct qk_shape *shape,
                    struct onnx_const **out);
void onnx_const_free (struct onnx_const *c); /* accepts NULL */
int onnx_const_copy (const struct onnx_const *c, struct onnx_const **out);

/* Read T, stored in the file in any of the ways there are, or beside it.
 * Half, bfloat16 and double become float.  -ENOTSUP, naming the tensor, for a
 * type that is no number. */
int onnx_const_read (const struct onnxfile *f, const Onnx__TensorProto *t,
                     struct onnx_const **out);

/* "float", "int64", … of a TensorProto.DataType. */
const char *onnx_type_name (int type);
bool onnx_type_is_real (int type);

#endif /* QATKIT_COMMON_ONNXFILE_H */
