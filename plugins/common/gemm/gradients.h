/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gradients.h: gradients of 3x3 convolutions that are faster here than in libraries,
 * in the order (N,H,W,C) that everything else has. */
#ifndef QATKIT_COMMON_GRADIENTS_H
#define QATKIT_COMMON_GRADIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qatkit/backend.h>

/* The input of a convolution whose gradients are wanted, (N,H,W,C): floats, or else
 * bytes that stand for (float) byte - zero, where zero is itself the value of a byte. */
struct gradient_input {
  const float *x;
  const uint8_t *bytes;
  float zero;
};

/* One way to both gradients.  The same number of threads gives the same bits. */
struct gradients {
  /* Whether it is for this shape and this CPU, and pays for CB->n samples.  For fewer,
   * the functions below may be called all the same. */
  bool (*suits) (const struct qk_convback *cb);
  /* Bytes of scratch memory, aligned to 64, that it works in with THREADS threads. */
  size_t (*scratch) (const struct qk_convback *cb, int threads);
  /* As convback_data and convback_weights of struct qk_backend_class. */
  void (*data) (const struct qk_convback *cb, int threads, const float *d,
                const float *w, float *dx, float *scratch);
  void (*weights) (const struct qk_convback *cb, int threads, const float *d,
                   const struct gradient_input *in, float *dw, float *scratch);
};

/* winograd.c: stride 1, by a quarter of the multiplications, with AVX2 and FMA or
 * AVX-512; errors of a few 1e-6 of the largest gradient. */
extern const struct gradients winograd_gradients;

/* grouped.c: groups of 4 or 8 channels, as many outputs as inputs, without dilation, by
 * direct sums with AVX-512; dx does not depend on the number of threads. */
extern const struct gradients grouped_gradients;

#endif /* QATKIT_COMMON_GRADIENTS_H */
