/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onednn.h: what the files of the onednn backend share. */
#ifndef ONEDNN_H
#define ONEDNN_H

#include <oneapi/dnnl/dnnl.h>

#include "int8op/int8op.h"

/* A prepared operation as oneDNN sees it. */
struct onednn_kernel {
  struct qk_op op; /* its arrays are the model's */
  struct int8op_geometry g;
  size_t in_bytes, out_bytes; /* of a sample */

  dnnl_primitive_t primitive; /* for the largest batch; NULL for reshape */
  dnnl_memory_t src[2], dst, weight, bias, scratchpad;
  void *arrays; /* packed weights and bias */
  size_t scratchpad_bytes;
};

/* Record oneDNN's status as qatkit's error about OP. */
int onednn_fail (const struct qk_op *op, dnnl_status_t status);

/* Build k->primitive with its memories, weights packed.  -ENOTSUP where
 * oneDNN, or its way to round, has no such operation; -ENOMEM.  What was made
 * is released with K in any case. */
int onednn_build (struct onednn_kernel *k, dnnl_engine_t engine,
                  dnnl_stream_t stream);

/* The slots of float products, see struct qk_backend_class. */
bool onednn_sgemm (bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                   const float *a, int64_t lda, const float *b, int64_t ldb,
                   float beta, float *c, int64_t ldc);
bool onednn_convback_usable (const struct qk_convback *cb);
size_t onednn_convback_scratch (const struct qk_convback *cb, int threads);
bool onednn_convback_data (const struct qk_convback *cb, int threads,
                           const float *d, const float *w, float *dx,
                           void *scratch, size_t size);
bool onednn_convback_weights (const struct qk_convback *cb, int threads,
                              const float *d, const float *x, float *dw,
                              void *scratch, size_t size);

#endif /* ONEDNN_H */
