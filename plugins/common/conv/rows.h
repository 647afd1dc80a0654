/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rows.h: the loops over blocks of rows that must run fast.
 *
 * A block is rows of K channels, N = rows * K floats without gaps.  The
 * per-channel arrays are given repeated to a length PERIOD, a multiple of K,
 * so that the loops stay long when K is small. */
#ifndef QATKIT_COMMON_CONV_ROWS_H
#define QATKIT_COMMON_CONV_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* Where the gradient passes: lo <= acc * a + b <= hi. */
struct qk_conv_mask {
  const float *a, *b; /* PERIOD each */
  float lo, hi;
};

/* m->lo and m->hi: y lies inside the open interval YLO to YHI of the clamp, and
 * y INV (1 / scale of the output's grid; 0: no grid) rounds to RLO .. RHI,
 * which are qmin - zero_point and qmax - zero_point. */
void qk_conv_mask_bounds (struct qk_conv_mask *m, float ylo, float yhi,
                          float inv, float rlo, float rhi);

/* Grid of the output and the clamp on the way to it. */
struct qk_conv_grid {
  float ylo, yhi; /* real bounds, before the grid */
  float inv;
  int32_t zp, lo, hi;
};

/* out = (float) x - z */
void qk_rows_expand (const uint8_t *x, size_t n, float z, float *out);

/* sum += x, sq += x * x, by channel. */
void qk_rows_moments (const float *x, size_t n, size_t period, double *sum,
                      double *sq);

/* min and max by channel; the arrays hold the values so far. */
void qk_rows_minmax (const float *x, size_t n, size_t period, float *min,
                     float *max);

/* y = min (max (acc * a + b, lo), hi); y may be acc. */
void qk_rows_affine (const float *acc, size_t n, size_t period, const float *a,
                     const float *b, float lo, float hi, float *y);

/* The same, then on the grid. */
void qk_rows_affine_u8 (const float *acc, size_t n, size_t period,
                        const float *a, const float *b,
                        const struct qk_conv_grid *g, uint8_t *q);

/* qk_requantize ((int) acc + bias, m, …) for acc holding integers. */
void qk_rows_requantize (const float *acc, size_t n, size_t period,
                         const int32_t *bias, const float *m,
                         const struct qk_conv_grid *g, uint8_t *q);
void qk_rows_requantize_i32 (const int32_t *acc, size_t n, size_t period,
                             const int32_t *bias, const float *m,
                             const struct qk_conv_grid *g, uint8_t *q);

/* The same as the real numbers (q - zero point) SCALE, where q has more than 8
 * bits. */
void qk_rows_regrid (const float *acc, size_t n, size_t period,
                     const int32_t *bias, const float *m,
                     const struct qk_conv_grid *g, float scale, float *y);
void qk_rows_regrid_i32 (const int32_t *acc, size_t n, size_t period,
                         const int32_t *bias, const float *m,
                         const struct qk_conv_grid *g, float scale, float *y);
/* And from whole numbers in double, whose K channels are not repeated: what forward
 * makes of an input of more than 8 bits.  As bytes, as real numbers on the
 * grid, and as y of qk_rows_dequantize. */
void qk_rows_requantize_f64 (const double *acc, size_t n, size_t k,
                             const int32_t *bias, const float *m,
                             const struct qk_conv_grid *g, uint8_t *q);
void qk_rows_regrid_f64 (const double *acc, size_t n, size_t k,
                         const int32_t *bias, const float *m,
                         const struct qk_conv_grid *g, float scale, float *y);
void qk_rows_dequantize_f64 (const double *acc, size_t n, size_t k,
                             const int32_t *bias, const float *s, float lo,
                             float hi, float *y);
/* y = (float) acc * s */
void qk_rows_scale_f64 (const double *acc, size_t n, float s, float *y);

/* Y becomes the real numbers that it is on the grid. */
void qk_rows_put_on_grid (float *y, size_t n, const struct qk_conv_grid *g,
                          float scale);

/* y = min (max ((float) ((int) acc + bias) * s, lo), hi); y may be acc. */
void qk_rows_dequantize (const float *acc, size_t n, size_t period,
                         const int32_t *bias, const float *s, float lo,
                         float hi, float *y);
void qk_rows_dequantize_i32 (const int32_t *acc, size_t n, size_t period,
                             const int32_t *bias, const float *s, float lo,
                             float hi, float *y);

/* acc32 += (int) x */
void qk_rows_add_i32 (const float *x, size_t n, int32_t *acc);
/* y = (float) acc; y may be acc. */
void qk_rows_to_float (const int32_t *acc, size_t n, float *y);

/* With g = dout where the mask is open, else 0:
 * sg += g, sgu += g * acc, by channel. */
void qk_rows_grad_sums (const float *dout, const float *acc, size_t n,
                        size_t period, const struct qk_conv_mask *m,
                        double *sg, double *sgu);
/* d = a1 * g + (a2 * acc + a3); D may be ACC. */
void qk_rows_grad (const float *dout, const float *acc, size_t n,
                   size_t period, const struct qk_conv_mask *m,
                   const float *a1, const float *a2, const float *a3,
                   float *d);

/* One output line of a depthwise convolution.  ROW[r] points to the
 * expanded input line below window line r, starting at the first column the
 * window touches; w (R,S,C); out (Q,C). */
void qk_rows_depthwise (const float *const *row, const float *w, int r, int s,
                        int64_t c, int64_t q, int64_t step, int64_t dil,
                        float *out);
/* Its gradient: dw += d * x; and, DROW not NULL, drow += d * w. */
void qk_rows_depthwise_grad (const float *const *row, float *const *drow,
                             const float *w, float *dw, int r, int s,
                             int64_t c, int64_t q, int64_t step, int64_t dil,
                             const float *d);

/* ---- of one CPU level: AVX2 with FMA -------------------------------------
 * The first two are for a PERIOD that is a multiple of 8, do whole periods and
 * return how many elements that was. */
size_t qk_rows_moments__avx2 (const float *x, size_t n, size_t period,
                              double *sum, double *sq);
size_t qk_rows_grad_sums__avx2 (const float *dout, const float *acc, size_t n,
                                size_t period, const struct qk_conv_mask *m,
                                double *sg, double *sgu);
/* 3x3, stride 1; C is a multiple of 8. */
void qk_rows_depthwise_3x3_grad__avx2 (const float *const *row,
                                       float *const *drow, const float *w,
                                       float *dw, int64_t c, int64_t q,
                                       const float *d);

#endif /* QATKIT_COMMON_CONV_ROWS_H */
