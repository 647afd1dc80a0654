/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* product.h: exact product of uint8 and int8 matrices whose weights change
 * from step to step: packing is cheap, and good for any range of the inputs,
 * which is named afterwards. */
#ifndef INT8GEMM_PRODUCT_H
#define INT8GEMM_PRODUCT_H

#include <qatkit/quantizer.h>

#include "int8gemm/kernels.h"

/* K rounded up: so many bytes of each row of A must be readable (what they
 * hold beyond K does not matter). */
int64_t qk_product_depth (int64_t k);

/* Rows of weights that are packed together: N that is a multiple of it ends
 * with a whole block. */
int qk_product_block (const struct qk_kernels *kn);

/* Bytes of N rows of K weights once packed. */
size_t qk_product_size (const struct qk_kernels *kn, int64_t n, int64_t k);

/* Bring W (n,k), rows LDW apart, into the order qk_product reads.  PACKED is
 * aligned to 64 bytes. */
void qk_product_pack (const struct qk_kernels *kn, int64_t n, int64_t k,
                      const int8_t *w, int64_t ldw, void *packed);

/* The inputs' quantization is Q, and their zero point is to be subtracted.
 * SUM (n) holds the sums of the rows of W, whole numbers; the zero point times
 * each of them fits int32. */
void qk_product_range (const struct qk_kernels *kn, int64_t n, int64_t k,
                       const double *sum, const struct qk_qparams *q,
                       void *packed);

/* C (m,n) = (A - zero point) W^T, A (m,k) with rows LDA bytes apart, rows of C
 * LDC elements apart.  The sum is taken modulo 2^32 without saturation; C gets
 * it as int32, or with TO_FLOAT rounded to float.  One thread. */
void qk_product (const struct qk_kernels *kn, int64_t m, int64_t n, int64_t k,
                 const uint8_t *a, int64_t lda, const void *packed,
                 bool to_float, void *c, int64_t ldc);

#endif /* INT8GEMM_PRODUCT_H */
