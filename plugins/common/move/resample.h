/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resample.h: samples of another height and width, every element a weighted
 * sum of elements of the same channel. */
#ifndef QATKIT_COMMON_MOVE_RESAMPLE_H
#define QATKIT_COMMON_MOVE_RESAMPLE_H

#include <qatkit/tensor.h>

/* x (N,H,W,C), y (N,P,Q,C); the rows and columns that an element is made of,
 * and their shares. */
struct resample {
  int64_t h, w, p, q, c;
  int rows, cols; /* taps */
  const int32_t *row, *col;
  const float *a, *b;
};

/* The plan for the checked arrays of a QK_OP_RESIZE, which it borrows. */
void resample_plan (int taps, const int32_t *place, const float *share,
                    const struct qk_shape *in, const struct qk_shape *out,
                    struct resample *r);

/* N samples, in float (numeric.h: qk_resample) and on a grid
 * (qk_resample_quantized). */
void resample_f32 (const struct resample *r, int64_t n, const float *x,
                   float *y, int threads);
void resample_u8 (const struct resample *r, int64_t n, const uint8_t *x,
                  uint8_t *y, int32_t zp, int32_t lo, int32_t hi, int threads);

/* The gradient: DX = sum of a b DY over all that an element is part of. */
void resample_add (const struct resample *r, int64_t n, const float *dy,
                   float *dx, int threads);

#endif /* QATKIT_COMMON_MOVE_RESAMPLE_H */
