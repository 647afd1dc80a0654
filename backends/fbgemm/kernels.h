/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kernels.h: the inner loops of the fbgemm backend and their dispatch.
 *
 * Names: qk_FAMILY_TYPES[_ROWSxCHANNELS]__ISA, in ISA/FAMILY-…-ISA.c.  Types
 * are those of the operands in order: u8s8 is uint8 activations times int8
 * weights.  ISAs, in ascending order: c, avx2, avxvnni, avx512 (F, BW, VL,
 * DQ), avx512vnni.
 *
 * Kernels check nothing.  They touch only the elements they are told of,
 * give the same bytes at every level, and keep to numeric.h's formulas. */
#ifndef FBGEMM_KERNELS_H
#define FBGEMM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu.h"

/* How accumulators become output. */
struct qk_output {
  int32_t zero_point, lo, hi;
  bool f32;      /* store (float) acc * multiplier instead */
  int64_t pitch; /* bytes from one row (pixel) to the next */
};

/* ---- gemm: y[m][n] = sum_k a[m][k] * w[n][k] ---------------------------
 * Weights of NR = vectors * lanes channels, four consecutive k side by side:
 * weight[k / 4][n][k % 4].
 *
 * Where the level multiplies with vpmaddubsw, which sums pairs of products in
 * int16, the kernel adds up to CHAIN steps there before it goes on in int32.
 * Packing proves that no such sum can leave int16 for the inputs' range, and
 * makes it so: weights that would break the bound are 0 in WEIGHT and come in
 * a list of extra steps instead: step e multiplies a[.][4 * extra_step[e] ..]
 * by extra[e][n][.], by itself.  All sums are exact. */
struct qk_gemm_block {
  const int8_t *weight;
  const int32_t *bias;     /* NR; - z_in * sum_k w added, modulo 2^32 */
  const float *multiplier; /* NR */
  int n;                   /* channels in use, the rest are 0 */
  int vectors;
  int chain;
  int extras;
  const int32_t *extra_step;
  const int8_t *extra;
};

/* M rows of A, LDA bytes apart, 4 * STEPS bytes each. */
#define QK_GEMM_U8S8(name)                                                    \
  void name (const uint8_t *a, int64_t lda, int64_t m, int64_t steps,         \
             const struct qk_gemm_block *b, const struct qk_output *o,        \
             void *out)
typedef QK_GEMM_U8S8 (qk_gemm_u8s8_fn);

/* ---- dwconv: depthwise convolution, one output row ---------------------
 * Weights of a block of 4 * lanes channels: taps of a column of the window
 * in groups of four rows, weight[s][group][i][lane][row % 4], where channel
 * (i, lane) is 16 * (lane / 4) + 4 * i + lane % 4; likewise bias[i][lane].
 * WEIGHT2 (or NULL) holds the other halves as above.  The last of several
 * blocks is a full one too: it overlaps the one before. */
struct qk_dwconv_block {
  const int8_t *weight, *weight2;
  const int32_t *bias;
  const float *multiplier;
  int64_t first; /* channel */
  int n;         /* channels in use, the rest are 0 */
};

struct qk_dwconv_row {
  const uint8_t *const *row; /* kernel_h rows; PAD with step 0 if outside */
  const int64_t *step;       /* bytes from one column to the next */
  const uint8_t *pad;        /* channels bytes of the input's zero point */
  int kernel_h, kernel_w, stride, dilation, pad_left;
  int64_t width, channels, q; /* q: output columns */
  const struct qk_dwconv_block *block;
  int blocks;
};

#define QK_DWCONV_U8S8(name)                                                  \
  void name (const struct qk_dwconv_row *w, const struct qk_output *o,        \
             uint8_t *out)
typedef QK_DWCONV_U8S8 (qk_dwconv_u8s8_fn);

/* ---- pointwise --------------------------------------------------------- */

/* Grids as floats and integers, ready to use. */
struct qk_grids {
  int32_t za, zb;    /* zero points of the inputs */
  float sa, sb;      /* their scales */
  float inv;         /* 1 / scale of the output */
  int32_t zp, lo, hi; /* of the output */
};

/* numeric.h: qk_add_quantized */
#define QK_ADD_U8(name)                                                       \
  void name (const uint8_t *a, const uint8_t *b, int64_t n,                   \
             const struct qk_grids *g, uint8_t *out)
/* numeric.h: qk_regrid */
#define QK_REGRID_U8(name)                                                    \
  void name (const uint8_t *a, int64_t n, const struct qk_grids *g,           \
             uint8_t *out)
/* numeric.h: qk_quantize */
#define QK_QUANTIZE_F32(name)                                                 \
  void name (const float *a, int64_t n, const struct qk_grids *g,             \
             uint8_t *out)
/* numeric.h: qk_dequantize */
#define QK_DEQUANTIZE_U8(name)                                                \
  void name (const uint8_t *a, int64_t n, const struct qk_grids *g,           \
             float *out)
#define QK_CLAMP_U8(name)                                                     \
  void name (const uint8_t *a, int64_t n, int lo, int hi, uint8_t *out)
typedef QK_ADD_U8 (qk_add_u8_fn);
typedef QK_REGRID_U8 (qk_regrid_u8_fn);
typedef QK_QUANTIZE_F32 (qk_quantize_f32_fn);
typedef QK_DEQUANTIZE_U8 (qk_dequantize_u8_fn);
typedef QK_CLAMP_U8 (qk_clamp_u8_fn);

/* The part of a pooling window inside the picture. */
struct qk_window {
  const uint8_t *x; /* its first element, channel 0 */
  int rows, cols;
  int64_t row_pitch, col_pitch; /* bytes */
  int32_t count;                /* what an average divides by */
};

#define QK_MAXPOOL_U8(name)                                                   \
  void name (const struct qk_window *w, int64_t channels, int lo, int hi,     \
             uint8_t *out)
/* numeric.h: qk_mean_quantized */
#define QK_AVGPOOL_U8(name)                                                   \
  void name (const struct qk_window *w, int64_t channels, int32_t zp, int lo, \
             int hi, uint8_t *out)
typedef QK_MAXPOOL_U8 (qk_maxpool_u8_fn);
typedef QK_AVGPOOL_U8 (qk_avgpool_u8_fn);

/* ---- dispatch ---------------------------------------------------------- */

struct qk_kernels {
  enum qk_cpu_level level;
  int lanes;       /* int32 in a vector */
  int max_vectors; /* a gemm block has 1 to so many */
  bool saturates;  /* pairs must be certified when packing */
  qk_gemm_u8s8_fn *gemm;
  qk_dwconv_u8s8_fn *dwconv;
  qk_add_u8_fn *add;
  qk_regrid_u8_fn *regrid;
  qk_quantize_f32_fn *quantize;
  qk_dequantize_u8_fn *dequantize;
  qk_clamp_u8_fn *clamp;
  qk_maxpool_u8_fn *maxpool;
  qk_avgpool_u8_fn *avgpool;
};

/* The best kernels for a CPU of LEVEL. */
void qk_kernels_init (struct qk_kernels *k, enum qk_cpu_level level);

#define QK_POINTWISE_KERNELS(isa)                                             \
  QK_ADD_U8 (qk_add_u8__##isa);                                               \
  QK_REGRID_U8 (qk_regrid_u8__##isa);                                         \
  QK_QUANTIZE_F32 (qk_quantize_f32__##isa);                                   \
  QK_DEQUANTIZE_U8 (qk_dequantize_u8__##isa);                                 \
  QK_CLAMP_U8 (qk_clamp_u8__##isa);                                           \
  QK_MAXPOOL_U8 (qk_maxpool_u8__##isa);                                       \
  QK_AVGPOOL_U8 (qk_avgpool_u8__##isa)

QK_GEMM_U8S8 (qk_gemm_u8s8_1x16__c);
QK_GEMM_U8S8 (qk_gemm_u8s8_6x16__avx2);
QK_GEMM_U8S8 (qk_gemm_u8s8_6x16__avxvnni);
QK_GEMM_U8S8 (qk_gemm_u8s8_6x64__avx512);
QK_GEMM_U8S8 (qk_gemm_u8s8_6x64__avx512vnni);
QK_DWCONV_U8S8 (qk_dwconv_u8s8__c);
QK_DWCONV_U8S8 (qk_dwconv_u8s8__avx2);
QK_DWCONV_U8S8 (qk_dwconv_u8s8__avxvnni);
QK_DWCONV_U8S8 (qk_dwconv_u8s8__avx512);
QK_DWCONV_U8S8 (qk_dwconv_u8s8__avx512vnni);
QK_POINTWISE_KERNELS (c);
QK_POINTWISE_KERNELS (avx2);
QK_POINTWISE_KERNELS (avx512);

#endif /* FBGEMM_KERNELS_H */
