/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onnx-priv.h: what the parts of the ONNX plugin share. */
#ifndef ONNX_PRIV_H
#define ONNX_PRIV_H

#include <qatkit/format.h>

/* ---- reading: parse.c --------------------------------------------------*/

/* What a stranger's file can make the program allocate is bounded by these
 * and by its own size. */
#define ONNX_MAX_TENSORS 100000
#define ONNX_MAX_NAME 1000

struct onnx_tensor {
  char *name; /* owned */
  enum qk_dtype dtype;
  const char *trouble; /* static: why it cannot be read; NULL if it can */
  struct qk_shape shape;
  const unsigned char *data; /* in the bytes parsed; not aligned */
};

struct onnx_file {
  char *path;
  void *map; /* NULL when the bytes belong to someone else */
  size_t map_size;
  int64_t n;
  struct onnx_tensor *tensor;
};

/* Check SIZE BYTES completely and make *OUT, which borrows BYTES until
 * onnx_free.  PATH is for messages.  -EBADMSG for anything wrong. */
int onnx_parse (const void *bytes, size_t size, const char *path,
                struct onnx_file **out);
void onnx_free (struct onnx_file *f); /* accepts NULL; unmaps f->map */

/* A slot of struct qk_format_class. */
int onnx_entry (void *self, int64_t i, struct qk_format_entry *out);

/* ---- writing: build.c, write.c -----------------------------------------*/

int onnx_write_network (const struct qk_config *cfg, int fd,
                        const struct qk_network *net);

#endif /* ONNX_PRIV_H */
