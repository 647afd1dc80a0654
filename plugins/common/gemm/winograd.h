/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd.h: the gradients of 3x3 convolutions of stride 1 with a quarter of the
 * multiplications, in the order (N,H,W,C) that everything else has. */
#ifndef QATKIT_COMMON_WINOGRAD_H
#define QATKIT_COMMON_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>

#include <qatkit/backend.h>

#include "gemm/input.h"

/* Whether they are for this shape and this CPU, AVX2 with FMA or AVX-512, and pay for
 * CB->n samples.  For fewer, the functions below may be called all the same. */
bool winograd_suits (const struct qk_convback *cb);
/* Bytes of scratch memory, aligned to 64, that they work in with THREADS threads. */
size_t winograd_scratch (const struct qk_convback *cb, int threads);
/* As convback_data and convback_weights of struct qk_backend_class; errors of a few
 * 1e-6 of the largest gradient.  The same number of threads gives the same bits. */
void winograd_data (const struct qk_convback *cb, int threads, const float *d,
                    const float *w, float *dx, float *scratch);
void winograd_weights (const struct qk_convback *cb, int threads,
                       const float *d, const struct gradient_input *in,
                       float *dw, float *scratch);

#endif /* QATKIT_COMMON_WINOGRAD_H */
