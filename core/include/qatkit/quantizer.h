/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* quantizer.h: an observer and a fake-quantizer at work on one value or
 * parameter, as layers use them.  Made by the prepare pass, owned by the
 * graph. */
#ifndef QATKIT_QUANTIZER_H
#define QATKIT_QUANTIZER_H

#include <math.h>

#include "fakequant.h"

#ifdef __cplusplus
extern "C" {
#endif

struct qk_quantizer;

/* 1 for per tensor. */
QK_PUBLIC int64_t qk_quantizer_channels (const struct qk_quantizer *qz);

/* The grids now in force, one a channel; borrowed, changed by the next
 * observe. */
QK_PUBLIC const struct qk_qparams *
qk_quantizer_qparams (const struct qk_quantizer *qz);

/* Whether observe changes anything now (training, observers not frozen). */
QK_PUBLIC bool qk_quantizer_observing (const struct qk_quantizer *qz);

/* Whether the ranges of a batch are enough for observe: then layers can call
 * qk_quantizer_observe_range and need no float tensor.  False while the
 * fake-quantizer still waits for its first batch. */
QK_PUBLIC bool qk_quantizer_wants_range (const struct qk_quantizer *qz);

/* Let the observer see a batch and renew the grids.  Does nothing when not
 * observing.  -EDOM with the quantizer's name for NaN or infinity. */
QK_PUBLIC int qk_quantizer_observe (struct qk_quantizer *qz, const float *x,
                                    size_t n);
QK_PUBLIC int qk_quantizer_observe_range (struct qk_quantizer *qz,
                                          const float *min, const float *max);

/* Activations: X on the grid, one byte an element (per tensor).  -EINVAL for
 * one of more than 8 bits. */
QK_PUBLIC int qk_quantizer_forward_u8 (struct qk_quantizer *qz, const float *x,
                                       size_t n, uint8_t *q);

/* Activations of any bits: the real numbers that X on the grid stands for;
 * Y may be X. */
QK_PUBLIC int qk_quantizer_forward_f32 (struct qk_quantizer *qz,
                                        const float *x, size_t n, float *y);

/* Weights: transform, then the grid of each channel; Q gets the integers. */
QK_PUBLIC int qk_quantizer_forward_i8 (struct qk_quantizer *qz, const float *x,
                                       size_t n, int8_t *q);

/* Weights: no scale is below FLOOR, one a channel, from now on until the next
 * call; what is not finite, or NULL, is no floor.  Whether that changed a
 * grid.  For layers whose bias is an int32 in units of the scale: where all
 * weights of a channel are zero or tiny the scale would be too small for it. */
QK_PUBLIC bool qk_quantizer_raise (struct qk_quantizer *qz,
                                   const float *floor);

/* Whether backward is the plain clipped straight-through estimator, so that
 * a layer may apply qk_ste_mask in its own loops instead of calling
 * qk_quantizer_backward. */
QK_PUBLIC bool qk_quantizer_is_ste (const struct qk_quantizer *qz);

/* dx from dy as the fake-quantizer defines it; X is what forward saw.
 * dx may be dy. */
QK_PUBLIC int qk_quantizer_backward (struct qk_quantizer *qz, const float *x,
                                     const float *dy, float *dx, size_t n);

/* 1.0f where x lies on the grid's range, 0.0f where it was clamped. */
static inline float
qk_ste_mask (float x, float inv_scale, int32_t zp, int32_t qmin, int32_t qmax)
{
  const float r = rintf (x * inv_scale);

  return r >= (float) (qmin - zp) && r <= (float) (qmax - zp) ? 1.0f : 0.0f;
}

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_QUANTIZER_H */
