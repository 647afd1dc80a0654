/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd.h: the gradients of 3x3 convolutions of stride 1 with a quarter of the
 * multiplications, from products of matrices (sgemm) that a backend has: for CPUs
 * where no library has them. */
#ifndef QATKIT_COMMON_WINOGRAD_H
#define QATKIT_COMMON_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>

#include <qatkit/backend.h>

/* Whether they are for this shape, of any number of samples, and this CPU, and pay:
 * levels from AVX2 on, below AVX-512, which libraries have them for. */
bool winograd_suits (const struct qk_backend_class *lib,
                     const struct qk_convback *cb);
/* Bytes of scratch memory, aligned to 64, that they work in. */
size_t winograd_scratch (const struct qk_convback *cb, int threads);
/* As convback_data and convback_weights of struct qk_backend_class, in the order
 * (N,H,W,C); errors of a few 1e-6 of the largest gradient. */
bool winograd_data (const struct qk_backend_class *lib,
                    const struct qk_convback *cb, int threads, const float *d,
                    const float *w, float *dx, float *scratch);
bool winograd_weights (const struct qk_backend_class *lib,
                       const struct qk_convback *cb, int threads,
                       const float *d, const float *x, float *dw,
                       float *scratch);

#endif /* QATKIT_COMMON_WINOGRAD_H */
