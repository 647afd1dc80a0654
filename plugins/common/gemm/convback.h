/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convback.h: the two gradients of a float convolution over whole tensors,
 * where a library does them well (oneDNN). */
#ifndef QATKIT_COMMON_CONVBACK_H
#define QATKIT_COMMON_CONVBACK_H

#include <stdbool.h>
#include <stdint.h>

/* x (N,H,W,C), w (K,R,S,C/groups), d (N,P,Q,K). */
struct qk_convback {
  int64_t n, h, w, c, p, q, k;
  int64_t r, s, groups;
  int64_t stride_h, stride_w, dil_h, dil_w;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
};

/* Whether the library has a fast way for this shape. */
bool qk_convback_usable (const struct qk_convback *cb);

/* dx = gradient by x; all of it is written.  False: the library failed. */
bool qk_convback_data (const struct qk_convback *cb, int threads,
                       const float *d, const float *w, float *dx);

/* dw = gradient by w; all of it is written.  The same arguments and number of
 * threads give the same bits.  False: the library failed. */
bool qk_convback_weights (const struct qk_convback *cb, int threads,
                          const float *d, const float *x, float *dw);

#endif /* QATKIT_COMMON_CONVBACK_H */
