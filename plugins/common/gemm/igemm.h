/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* igemm.h: exact product of uint8 and int8 matrices where the CPU adds such
 * products to int32 without saturation (AVX-512 VNNI). */
#ifndef QATKIT_COMMON_IGEMM_H
#define QATKIT_COMMON_IGEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether qk_igemm may be called; elsewhere products of float32 matrices that
 * hold integers give the same results. */
bool qk_igemm_usable (void);

/* K rounded up: so many bytes of each row of A must be readable (what they
 * hold beyond K does not matter). */
int64_t qk_igemm_depth (int64_t k);

/* Bytes of N rows of K weights once packed. */
size_t qk_igemm_size (int64_t n, int64_t k);

/* Bring W (n,k), rows LDW apart, into the order qk_igemm reads, for an A with
 * zero point 0.  PACKED is aligned to 64 bytes. */
void qk_igemm_pack (int64_t n, int64_t k, const int8_t *w, int64_t ldw,
                    void *packed);

/* Let A have the zero point Z.  SUM (n) holds the sums of the rows of W, whole
 * numbers; z times each of them fits int32. */
void qk_igemm_zero_point (int64_t n, int64_t k, const double *sum, int32_t z,
                          void *packed);

/* C (m,n) = (A - z) W^T, A (m,k) with rows LDA bytes apart, rows of C LDC
 * elements apart.  The sum is taken modulo 2^32 without saturation; C gets it
 * as int32, or with TO_FLOAT rounded to float.  One thread. */
void qk_igemm (int64_t m, int64_t n, int64_t k, const uint8_t *a, int64_t lda,
               const void *packed, bool to_float, void *c, int64_t ldc);

#endif /* QATKIT_COMMON_IGEMM_H */
