/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* norms.h: softmax, normalisations and products of activations as ONNX
 * operators.
 *
 * Tensors of four axes are (N,C,H,W) in the file, (N,H,W,C) here; all others
 * have one order on both sides. */
#ifndef ONNX_NORMS_H
#define ONNX_NORMS_H

#include <qatkit/network.h>

#include "build.h"

/* What node N computes of X, whose shape here is IN, to RAW. */
void onnx_put_softmax (struct onnx_build *b, const struct qk_network_node *n,
                       const struct qk_shape *in, const char *x,
                       const char *raw);
void onnx_put_norm (struct onnx_build *b, const struct qk_network_node *n,
                    const struct qk_shape *in, const char *x, const char *raw);
/* -ENOTSUP for other than images. */
int onnx_put_lrn (struct onnx_build *b, const struct qk_network_node *n,
                  const struct qk_shape *in, const char *x, const char *raw);

/* The same of two inputs of as many axes. */
void onnx_put_matmul (struct onnx_build *b, const struct qk_network_node *n,
                      const struct qk_shape in[2], const char *const x[2],
                      const char *raw);

#endif /* ONNX_NORMS_H */
