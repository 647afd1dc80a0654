/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convback.h: the two gradients of a float convolution over whole tensors,
 * where a library does them well (oneDNN). */
#ifndef QATKIT_COMMON_CONVBACK_H
#define QATKIT_COMMON_CONVBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* x (N,H,W,C), w (K,R,S,C/groups), d (N,P,Q,K). */
struct qk_convback {
  /* x, d and dx are (N,C/16,H,W,16) instead, and Winograd's F(4x4,3x3) takes
   * a quarter of the multiplications, with errors of a few 1e-6 of the
   * largest gradient. */
  bool blocked;
  int64_t n, h, w, c, p, q, k;
  int64_t r, s, groups;
  int64_t stride_h, stride_w, dil_h, dil_w;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
};

/* Whether the library has a fast way for this shape. */
bool qk_convback_usable (const struct qk_convback *cb);

/* Bytes of scratch memory, aligned to 64, that the two below work in. */
size_t qk_convback_scratch (const struct qk_convback *cb, int threads);

/* dx = gradient by x; all of it is written.  SCRATCH has SIZE bytes; where
 * that is not enough they allocate.  False: the library failed. */
bool qk_convback_data (const struct qk_convback *cb, int threads,
                       const float *d, const float *w, float *dx,
                       void *scratch, size_t size);

/* dw = gradient by w; all of it is written.  The same arguments and number of
 * threads give the same bits.  False: the library failed. */
bool qk_convback_weights (const struct qk_convback *cb, int threads,
                          const float *d, const float *x, float *dw,
                          void *scratch, size_t size);

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
