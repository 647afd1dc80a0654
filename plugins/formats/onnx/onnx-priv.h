/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onnx-priv.h: what the parts of the ONNX plugin share. */
#ifndef ONNX_PRIV_H
#define ONNX_PRIV_H

#include <qatkit/format.h>

#include "onnxfile/onnxfile.h"

/* How the names end of what norms.c writes in place of factors of a group that
 * is normalised: no weights, which read.c has to know. */
#define ONNX_ONES "/ones"
#define ONNX_ZEROS "/zeros"

/* ---- reading: read.c -----------------------------------------------------*/

struct onnx_weight {
  const Onnx__TensorProto *proto; /* of the file */
  struct onnx_const *value;       /* owned; NULL: of no type that is read */
  char option[40]; /* what its node says that a layer must have; "": nothing */
};

struct onnx_weights {
  struct onnxfile *file; /* owned */
  int64_t n;
  struct onnx_weight *weight;
  struct onnx_weight **sorted; /* by name */
};

/* The weights of FILE, which belongs to *OUT, also on failure. */
int onnx_weights_read (struct onnxfile *file, struct onnx_weights **out);
void onnx_weights_free (struct onnx_weights *f); /* accepts NULL */

/* A slot of struct qk_format_class.  With -ENOTSUP the name is set
 * nevertheless. */
int onnx_entry (void *self, int64_t i, struct qk_format_entry *out);
const char *onnx_metadata (void *self, const char *key);

/* ---- writing: build.c, write.c -----------------------------------------*/

int onnx_write_network (const struct qk_config *cfg, int fd,
                        const struct qk_network *net);

/* The test vectors of NET, to go beside it: vectors.c */
int onnx_write_vectors (const struct qk_config *cfg,
                        const struct qk_network *net, qk_format_put *put,
                        void *cookie);

#endif /* ONNX_PRIV_H */
