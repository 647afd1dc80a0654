/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qdrop.h: activations of which some elements, by chance, are fake-quantized
 * (QDrop, Wei et al. 2022, arXiv:2203.05740), with a gradient by the step size
 * (LSQ, Esser et al. 2020, arXiv:1902.08153).
 *
 * With v = x / s, r = rne (v), lo = qmin - zero_point and hi = qmax - zero_point,
 * an element is, with the probability 1 - DROPPED / 256, put on the grid:
 *   y = s clip (r, lo, hi)
 *   dx = dy where lo <= r <= hi, else 0
 *   ds += dy (r - v) there, dy lo below, dy hi above
 * The others stay: y = x, dx = dy. */
#ifndef QATKIT_COMMON_QDROP_H
#define QATKIT_COMMON_QDROP_H

#include <qatkit/rng.h>
#include <qatkit/tensor.h>

/* N elements; which of them are put on the grid Q goes to ON, a byte each. */
void qdrop_forward (const struct qk_qparams *q, uint32_t dropped,
                    const float *x, size_t n, struct qk_rng *rng, uint8_t *on,
                    float *y);
/* dx, which may be dy, and returns ds.  The same on every CPU. */
double qdrop_backward (const struct qk_qparams *q, const float *x,
                       const uint8_t *on, const float *dy, size_t n,
                       float *dx);

#endif /* QATKIT_COMMON_QDROP_H */
