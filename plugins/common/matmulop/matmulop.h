/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* matmulop.h: products of two activations as an operation of int8 networks,
 * shared by backends. */
#ifndef QATKIT_COMMON_MATMULOP_H
#define QATKIT_COMMON_MATMULOP_H

#include <qatkit/backend.h>

#include "int8gemm/kernels.h"

struct matmulop;

/* Prepare the QK_OP_MATMUL OP, checked, for inputs of shapes IN and up to
 * THREADS threads.  *SCRATCH: bytes that run needs.  *OUT belongs to the
 * caller: qk_free.  -ENOMEM. */
int matmulop_new (const struct qk_kernels *kernels, const struct qk_op *op,
                  const struct qk_shape *in, int threads,
                  struct matmulop **out, size_t *scratch);

/* Run N samples. */
void matmulop_run (const struct matmulop *k, int64_t n, const void *const *in,
                   uint8_t *y, void *scratch);

#endif /* QATKIT_COMMON_MATMULOP_H */
