/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grouped.h: the gradients of 3x3 convolutions with small groups of as many outputs as
 * inputs, in the order (N,H,W,C), by direct sums. */
#ifndef QATKIT_COMMON_GROUPED_H
#define QATKIT_COMMON_GROUPED_H

#include <stdbool.h>
#include <stddef.h>

#include <qatkit/backend.h>

#include "gemm/input.h"

/* Whether they are for this shape, groups of 4 or 8 channels without dilation, and this
 * CPU, AVX-512. */
bool grouped_suits (const struct qk_convback *cb);
/* Bytes of scratch memory, aligned to 64, that they work in with THREADS threads. */
size_t grouped_scratch (const struct qk_convback *cb, int threads);
/* As convback_data and convback_weights of struct qk_backend_class.  The same number of
 * threads gives the same bits; dx does not depend on it. */
void grouped_data (const struct qk_convback *cb, int threads, const float *d,
                   const float *w, float *dx, float *scratch);
void grouped_weights (const struct qk_convback *cb, int threads,
                      const float *d, const struct gradient_input *in,
                      float *dw, float *scratch);

#endif /* QATKIT_COMMON_GROUPED_H */
