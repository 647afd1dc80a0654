/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gemm.h: single-precision matrix product over a backend's, CBLAS or plain C. */
#ifndef QATKIT_COMMON_GEMM_H
#define QATKIT_COMMON_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include <qatkit/backend.h>

/* In what follows LIB is the backend whose product is used; NULL, or one without
 * a product: CBLAS, where it was built in, or plain C.
 *
 * C = op (A) op (B) + beta C, all row-major: C is (m,n) with rows LDC apart,
 * op (A) is (m,k): A is (m,k), or (k,m) when TA; op (B) is (k,n): B is
 * (k,n), or (n,k) when TB.  BETA is 0 (C need not be initialised) or 1.
 * Any of m, n, k may be 0.
 *
 * One thread, and made to be called from inside an OpenMP region; calls in
 * different threads do not disturb each other.  The same arguments give the
 * same bits.  Integer-valued operands give the exact product as long as all
 * partial sums stay below 2^24, whatever the order of summation. */
void qk_sgemm (const struct qk_backend_class *lib, bool ta, bool tb, int64_t m,
               int64_t n, int64_t k, const float *a, int64_t lda,
               const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

/* The same with the rows of C divided among up to THREADS threads. */
void qk_sgemm_threaded (const struct qk_backend_class *lib, int threads,
                        bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                        const float *a, int64_t lda, const float *b,
                        int64_t ldb, float beta, float *c, int64_t ldc);

/* The portable product alone, for tests and comparisons. */
void qk_sgemm_plain (bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                     const float *a, int64_t lda, const float *b, int64_t ldb,
                     float beta, float *c, int64_t ldc);

#endif /* QATKIT_COMMON_GEMM_H */
