/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kernels.h: the inner loops of the qnnpack backend and their dispatch.
 *
 * Names: qk_FAMILY_TYPES_ROWSxCHANNELS__ISA, in ISA/FAMILY-…-ISA.c.  Types
 * are those of the operands in order: u8s8 is uint8 activations times int8
 * weights.  ISAs, in ascending order: c, neon (armv8.0), dotprod, i8mm.
 *
 * Kernels check nothing.  They touch only the elements they are told of,
 * give the same bytes at every level, and keep to numeric.h's formulas. */
#ifndef QNNPACK_KERNELS_H
#define QNNPACK_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qatkit/cpu.h>
#include "pointwise/pointwise.h"

#define Q8_NR 16 /* channels of a block of weights */

/* How accumulators become output. */
struct q8_output {
  int32_t zero_point, lo, hi;
  bool f32;      /* gemm: store (float) acc * multiplier instead */
  int64_t pitch; /* bytes from one row (pixel) to the next */
};

/* ---- gemm: y[m][n] = sum_k a[m][k] * w[n][k] ---------------------------
 * A panel holds rows in tiles of MR, cells of 16 consecutive bytes of each row
 * of a tile side by side: panel[m / MR][k / 16][m % MR][k % 16], what is beyond
 * KC and beyond the last row being anything.
 *
 * Weights of Q8_NR channels, NR of them and KR consecutive k side by side, 0 beyond
 * KC up to a multiple of 16: weight[n / NR][k / KR][n % NR][k % KR]. */
#define Q8_CELL 16

struct q8_gemm_block {
  const int8_t *weight;
  const int32_t *bias; /* - z_in * sum w added, modulo 2^32 */
  const float *multiplier;
  int n;       /* channels in use, the rest are 0 */
  bool finite; /* all multipliers are */
};

/* ROWS rows by one block of weights. */
#define QK_GEMM_U8S8(name)                                                    \
  void name (const uint8_t *panel, int64_t kc, int64_t rows,                  \
             const struct q8_gemm_block *b, const struct q8_output *o,        \
             uint8_t *out)
typedef QK_GEMM_U8S8 (qk_gemm_u8s8_fn);

/* A kernel and what it wants. */
struct q8_gemm {
  int mr, nr, kr;
  int
    flip; /* of the bits of activations in panels: 128 makes a - 128 of them */
  qk_gemm_u8s8_fn *run;
};

/* ---- dwconv: depthwise convolution, one output row ---------------------
 * Weights as int8 or int16, weight[s][r][lane].  The last of several blocks is a
 * full one too: it overlaps the one before. */
struct q8_dwconv_block {
  const void *weight;
  const int32_t *bias; /* as above */
  const float *multiplier;
  int64_t first; /* channel */
  int n;         /* channels in use, the rest are 0 */
  bool finite;   /* all multipliers are */
};

struct q8_dwconv_row {
  /* column[x * kernel_h + r]: the pixel of window row R in column X, counted
   * from the first output's tap 0; at its first channel */
  const uint8_t *const *column;
  int kernel_h, kernel_w, stride, dilation;
  int64_t q; /* output columns */
  const struct q8_dwconv_block *block;
  int blocks;
};

#define QK_DWCONV_U8S8(name)                                                  \
  void name (const struct q8_dwconv_row *w, const struct q8_output *o,        \
             uint8_t *out)
typedef QK_DWCONV_U8S8 (qk_dwconv_u8s8_fn);

/* A kernel and what it wants. */
struct q8_dwconv {
  bool wide; /* weights as int16 */
  int
    offset; /* what it subtracts from activations, for the bias to bring back */
  qk_dwconv_u8s8_fn *run;
};

/* ---- dispatch ---------------------------------------------------------- */

struct q8_kernels {
  enum qk_cpu_level level;
  struct pointwise_kernels point;
};

/* The best kernels for a CPU of LEVEL. */
void q8_kernels_init (struct q8_kernels *k, enum qk_cpu_level level);

/* That for panels of ROWS rows there.  LOWEST: channels have weights of -128 at k
 * and at k + 8 in one cell. */
struct q8_gemm q8_gemm_for (enum qk_cpu_level level, int64_t rows,
                            bool lowest);

QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__c);
QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__neon);
QK_GEMM_U8S8 (qk_gemm_u8s8_1x16__neon);
QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__neon_lane);
QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__dotprod);
QK_GEMM_U8S8 (qk_gemm_u8s8_1x16__dotprod);
QK_GEMM_U8S8 (qk_gemm_u8s8_4x16__i8mm);
/* LOWEST: weights of -128 lie two in a column, at rows 2r and 2r + 1. */
struct q8_dwconv q8_dwconv_for (enum qk_cpu_level level, bool lowest);

QK_DWCONV_U8S8 (qk_dwconv_u8s8__c);
QK_DWCONV_U8S8 (qk_dwconv_u8s8__neon);
QK_DWCONV_U8S8 (qk_dwconv_u8s8__neon_wide);
POINTWISE_DECLARE (neon);
QK_BINARY_U8 (qk_add_fixed_u8__neon);
QK_BINARY_U8 (qk_sub_fixed_u8__neon);
QK_BINARY_U8 (qk_mul_fixed_u8__neon);
QK_MAX_ROWS_U8 (qk_max_rows_u8__neon);
QK_MAX_COLS_U8 (qk_max_cols_u8__neon);
QK_SUM_ROWS_U8 (qk_sum_rows_u8__neon);
QK_MEAN_COLS_U8 (qk_mean_cols_u8__neon);
QK_ADD_ROWS_U8 (qk_add_rows_u8__neon);
QK_BLEND_COLS_F32 (qk_blend_cols_f32__neon);
QK_BLEND_ROWS_U8 (qk_blend_rows_u8__neon);

#endif /* QNNPACK_KERNELS_H */
