/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* build.h: makes an ONNX graph out of protobuf-c's structures. */
#ifndef ONNX_BUILD_H
#define ONNX_BUILD_H

#include <qatkit/format.h>

#include "onnx.pb-c.h"

/* The domain of ONNX Runtime's own operators. */
#define ONNX_MICROSOFT "com.microsoft"

struct block;

/* All memory belongs to the builder.  The first failure sticks: functions
 * return "" or NULL from then on, which all of them accept. */
struct onnx_build {
  int error;
  struct block *blocks;
  Onnx__GraphProto graph;
  size_t bytes; /* of all tensors */
  int opset, ir_version;
};

void onnx_build_init (struct onnx_build *b);
void onnx_build_clear (struct onnx_build *b);

/* Zeroed memory; NULL after a failure. */
void *onnx_alloc (struct onnx_build *b, size_t size);
char *onnx_name (struct onnx_build *b, const char *fmt, ...) QK_PRINTF (2, 3);

/* Append a node with one output, called NAME.OP and OUT. */
Onnx__NodeProto *onnx_node (struct onnx_build *b, const char *op,
                            const char *out, int n_in, const char *const *in);
/* Append N, which belongs to B. */
void onnx_append_node (struct onnx_build *b, Onnx__NodeProto *n);
/* N has COUNT more outputs, OUT.  N NULL: after a failure. */
void onnx_more_outputs (struct onnx_build *b, Onnx__NodeProto *n, int count,
                        const char *const *out);
void onnx_attr_int (struct onnx_build *b, Onnx__NodeProto *n, const char *name,
                    int64_t v);
void onnx_attr_ints (struct onnx_build *b, Onnx__NodeProto *n,
                     const char *name, const int64_t *v, int count);
void onnx_attr_text (struct onnx_build *b, Onnx__NodeProto *n,
                     const char *name, const char *v);
void onnx_attr_floats (struct onnx_build *b, Onnx__NodeProto *n,
                       const char *name, const float *v, int count);
void onnx_attr_float (struct onnx_build *b, Onnx__NodeProto *n,
                      const char *name, float v);

/* Append a constant; copies DATA (NULL: zeros).  Returns its name. */
const char *onnx_constant (struct onnx_build *b, const char *name,
                           enum qk_dtype dtype, int ndim, const int64_t *dims,
                           const void *data);
const char *onnx_scalar (struct onnx_build *b, const char *name,
                         enum qk_dtype dtype, const void *data);

/* OUT: X with the NDIM axes DIMS of ONNX's Reshape (0: as X has it, -1: the
 * rest).  Returns OUT. */
const char *onnx_put_dims (struct onnx_build *b, const char *x, int ndim,
                           const int64_t *dims, const char *out);

/* A float tensor (N, dims[0], …) with free N, as input or output. */
Onnx__ValueInfoProto *onnx_value_info (struct onnx_build *b, const char *name,
                                       const int64_t *dims, int ndim);

/* The model around the graph, to FD. */
int onnx_build_write (struct onnx_build *b, int fd,
                      const struct qk_format_meta *meta, int n_meta);

/* functions.c */
struct qk_network_node;
/* What the layer of N computes, a function of one tensor: from X to OUT.
 * False: it is not known here. */
bool onnx_put_function (struct onnx_build *b, const struct qk_network_node *n,
                        const char *x, const char *out);
/* Whether N is the approximation of GELU by tanh. */
bool onnx_gelu_by_tanh (const struct qk_network_node *n);

#endif /* ONNX_BUILD_H */
