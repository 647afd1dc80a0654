/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convback.h: the two gradients of a float convolution over whole tensors,
 * where a backend does them well (struct qk_backend_class), and the order of
 * activations that it may want. */
#ifndef QATKIT_COMMON_CONVBACK_H
#define QATKIT_COMMON_CONVBACK_H

#include <stdbool.h>
#include <stdint.h>

#include <qatkit/backend.h>

/* Whether there is a fast way for this shape, of LIB, which may be NULL, or with its
 * products; else the functions below must not be called.  They are as the slots of
 * struct qk_backend_class. */
bool qk_convback_usable (const struct qk_backend_class *lib,
                         const struct qk_convback *cb);
size_t qk_convback_scratch (const struct qk_backend_class *lib,
                            const struct qk_convback *cb, int threads);
bool qk_convback_data (const struct qk_backend_class *lib,
                       const struct qk_convback *cb, int threads,
                       const float *d, const float *w, float *dx,
                       void *scratch, size_t size);
bool qk_convback_weights (const struct qk_backend_class *lib,
                          const struct qk_convback *cb, int threads,
                          const float *d, const float *x, float *dw,
                          void *scratch, size_t size);

/* Channels that lie side by side in the blocked order. */
#define QK_CONVBACK_BLOCK 16

/* Rows ROW0 .. ROW0 + ROWS of (N HW,C), starting at X, to their places in the
 * blocked order; and back. */
void qk_convback_block (const float *x, int64_t row0, int64_t rows, int64_t hw,
                        int64_t c, float *blocked);
/* The same of (float) x - z. */
void qk_convback_block_u8 (const uint8_t *x, int64_t row0, int64_t rows,
                           int64_t hw, int64_t c, float z, float *blocked);
void qk_convback_unblock (const float *blocked, int64_t row0, int64_t rows,
                          int64_t hw, int64_t c, float *x);

#endif /* QATKIT_COMMON_CONVBACK_H */
