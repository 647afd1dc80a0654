/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wideconv.h: the exact sums of a convolution of integers of 9 to 16 bits with
 * int8 weights; shared by the forward pass of training and the fbgemm backend.
 *
 * x (N,H,W,C) is given as two planes of bytes, x = 256 hi + lo, and
 *   sum (x - z) w = 256 sum hi w + sum lo w - z sum w
 * where both products are those of uint8 and int8 that networks of 8 bits are
 * made of.  Each fits int32 where 255 sum |w| < 2^31, which qk_op's check says of
 * inputs of more than 8 bits, and so all of it is below 2^40: whole numbers that
 * double has exactly, and that become the float of their int64.  Where x has 8 bits,
 * one plane, the product is sum (x - z) w itself, which that check bounds. */
#ifndef WIDECONV_H
#define WIDECONV_H

#include <qatkit/numeric.h>

#include "int8gemm/kernels.h"

/* x (N,H,W,C), w (K,R,S,C/groups), y (N,P,Q,K); a linear layer is a window of
 * 1x1 whose pixels are rows. */
struct wideconv_shape {
  int64_t h, w, c, p, q, k;
  int r, s, stride_h, stride_w, pad_top, pad_left, dil_h, dil_w, groups;
};

/* Weights in the order that the products want, in memory of the caller. */
struct wideconv {
  struct wideconv_shape shape;
  struct qk_kernels kernels;
  int32_t z;            /* zero point: what lies outside the sample */
  const double *sum;    /* K: of each channel's weights */
  const char *pack;     /* of each group */
  const int8_t *by_tap; /* (R S, C) of one input channel a group, or NULL */
};

/* The bytes of a batch; HI is NULL where x has 8 bits. */
struct wideconv_planes {
  const uint8_t *lo, *hi;
};

/* Bytes of memory, aligned to 64, for the weights of S. */
size_t wideconv_size (const struct wideconv_shape *s,
                      const struct qk_kernels *kernels);

/* Bring WEIGHT into MEMORY for inputs on the grid IN_Q, for wideconv_sums.  What
 * WEIGHT holds is not needed afterwards. */
void wideconv_pack (const struct wideconv_shape *s,
                    const struct qk_kernels *kernels, const int8_t *weight,
                    const struct qk_qparams *in_q, void *memory,
                    struct wideconv *out);

/* N integers, and those that real numbers X on the grid Q stand for, as bytes. */
void wideconv_split (const uint16_t *x, int64_t n, uint8_t *lo, uint8_t *hi);
void wideconv_split_real (const float *x, int64_t n,
                          const struct qk_qparams *q, uint8_t *lo,
                          uint8_t *hi);

/* Output pixels that one call of wideconv_sums should make, at most. */
int64_t wideconv_rows (const struct wideconv_shape *s);
/* Bytes of scratch memory, aligned to 64, for ROWS of them. */
size_t wideconv_scratch (const struct wideconv_shape *s, int64_t rows);

/* acc (ROWS,K) = the sums, without bias, of output pixels ROW0 to
 * ROW0 + ROWS - 1 of the batch.  One thread. */
void wideconv_sums (const struct wideconv *wc, const struct wideconv_planes *x,
                    int64_t row0, int64_t rows, void *scratch, double *acc);

#endif /* WIDECONV_H */
