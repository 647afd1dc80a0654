/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* matmulrows.h: exact products of matrices of bytes, some rows at a time, by the
 * kernels of int8gemm. */
#ifndef QATKIT_COMMON_MATMULROWS_H
#define QATKIT_COMMON_MATMULROWS_H

#include "int8gemm/kernels.h"
#include "matmul/matmul.h"

/* Rows of y at a time, whose sums stay in the cache. */
#define MATMUL_ROWS 64

/* Bytes of scratch memory that a thread needs, a multiple of 64. */
size_t matmul_scratch (const struct qk_kernels *kn, const struct matmul *mm);

/* Get a matrix b into the order of the kernels, for matrices a on grid QA. */
void matmul_take_b (const struct qk_kernels *kn, const struct matmul *mm,
                    const struct qk_qparams *qa, const uint8_t *b,
                    void *scratch);

/* sum (a - z_a) (b - z_b) for ROWS rows of y from ROW on, at most MATMUL_ROWS,
 * of the matrix A and the b taken last: (rows,P), in SCRATCH. */
const int32_t *matmul_rows (const struct qk_kernels *kn,
                            const struct matmul *mm,
                            const struct qk_qparams *qa,
                            const struct qk_qparams *qb, const uint8_t *a,
                            int64_t row, int64_t rows, void *scratch);

#endif /* QATKIT_COMMON_MATMULROWS_H */
