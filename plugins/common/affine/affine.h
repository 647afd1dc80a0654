/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* affine.h: a factor and a summand for each channel, on the integer grid. */
#ifndef QATKIT_COMMON_AFFINE_H
#define QATKIT_COMMON_AFFINE_H

#include <qatkit/layer.h>

/* y = a[c] x + b[c] is a depthwise convolution with a window of 1x1 whose weight
 * is the integer 127 or -127 of scale |a| / 127.  Where a is so small that b does
 * not fit the bias, the scale is as large as b needs it, and the weight's
 * integer is smaller.  With x of zero point z
 *   acc = (x - z) w + bias, y = qk_requantize (acc, s_in s_w / s_out).
 * Arrays of a number a channel: */
struct affine {
  int32_t *w, *bias; /* the weight's integer; b on the accumulator's grid */
  float *sw;         /* scale of the weight */
  float *real;       /* s_in * sw: what a step of the accumulator stands for */
  float *m;          /* multiplier to the output's grid, or REAL */
};

#define AFFINE_ROWS 5 /* arrays of 32 bits */

/* The arrays of CHANNELS numbers in BASE. */
struct affine affine_at (void *base, int64_t channels);

/* Fill all but M for y = gamma (x - mean) inv_std + beta and an input of
 * scale S_IN. */
void affine_fold (const struct affine *a, int64_t channels, float s_in,
                  const float *gamma, const float *beta, const float *mean,
                  const float *inv_std);
/* Fill M for an output on Q; scale 0: a float one. */
void affine_multipliers (const struct affine *a, int64_t channels, float s_in,
                         const struct qk_qparams *q);

/* ROWS rows of bytes, zero point Z, to bytes on Q, to LO..HI. */
void affine_to_bytes (const struct affine *a, const uint8_t *x, int32_t z,
                      int64_t rows, int64_t channels,
                      const struct qk_qparams *q, int32_t lo, int32_t hi,
                      uint8_t *y);
/* The same to floats. */
void affine_to_real (const struct affine *a, const uint8_t *x, int32_t z,
                     int64_t rows, int64_t channels, float *y);
/* g = dy where the quantized result lies within Q, else 0. */
void affine_gate (const struct affine *a, const uint8_t *x, int32_t z,
                  int64_t rows, int64_t channels, const struct qk_qparams *q,
                  const float *dy, float *g);

#endif /* QATKIT_COMMON_AFFINE_H */
