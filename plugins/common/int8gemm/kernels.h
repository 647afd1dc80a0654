/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kernels.h: products of uint8 activations and int8 weights, and their dispatch;
 * shared by the forward pass of training and the fbgemm backend.
 *
 * Names: qk_FAMILY_TYPES[_ROWSxCHANNELS]__ISA, in ISA/FAMILY-…-ISA.c.  Types
 * are those of the operands in order: u8s8 is uint8 activations times int8
 * weights.  ISAs, in ascending order: c, avx2, avxvnni, avx512 (F, BW, VL,
 * DQ), avx512vnni.
 *
 * Kernels check nothing.  They touch only the elements they are told of,
 * give the same bytes at every level, and keep to numeric.h's formulas. */
#ifndef INT8GEMM_KERNELS_H
#define INT8GEMM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qatkit/cpu.h>

enum qk_store {
  QK_STORE_U8,  /* requantized */
  QK_STORE_F32, /* (float) acc * multiplier */
  QK_STORE_I32  /* acc */
};

/* How accumulators become output; gemm_taps and gemm_lines store bytes only. */
struct qk_output {
  int32_t zero_point, lo, hi;
  enum qk_store store;
  int64_t pitch; /* bytes from one row (pixel) to the next */
};

/* ---- gemm: y[m][n] = sum_k a[m][k] * w[n][k] ---------------------------
 * Weights of NR = vectors * lanes channels, four consecutive k side by side:
 * weight[k / 4][n][k % 4].
 *
 * Where the level multiplies with vpmaddubsw, which sums pairs of products in
 * int16, the kernel adds up to CHAIN steps there before it goes on in int32.
 * Packing proves that no such sum can leave int16 for the inputs' range, and
 * makes it so: what is too much of a weight is taken from WEIGHT and comes in
 * a list of extra steps instead.  Step e looks at the sixteen inputs from
 * extra_at[e] on; lane n multiplies those that extra_index[e][n] names (0x80
 * for none) by extra[e][n].  The sums of a chain may also start from
 * middle[chain][n][2]: what the weights would give for an input in the middle
 * of its range, with the sign changed; then the sum is that of distances from
 * there, half as far from 0, and only each pair and the whole chain's have to
 * fit, for sums on the way are modulo 2^16.  BIAS makes up for it.  All sums
 * are exact.  Rows of A with extra steps must be readable for sixteen bytes.
 * A CHAIN of 0 proves nothing: bytes are widened and multiplied by vpmaddwd,
 * at about half of the speed. */
#define QK_GEMM_WINDOW 16
#define QK_GEMM_CHAIN 4 /* steps at most */

struct qk_gemm_block {
  const int8_t *weight;
  const int8_t *next;      /* weights that are likely to be needed after them,
                              a hint: never read */
  const int32_t *bias;     /* NR; - z_in * sum_k w added, modulo 2^32 */
  const float *multiplier; /* NR */
  int n;                   /* channels in use, the rest are 0 */
  int vectors;
  int chain;
  const int16_t *middle; /* or NULL */
  int extras;
  const int32_t *extra_at;
  const int8_t *extra;
  const uint8_t *extra_index;
};

/* M rows of A, LDA bytes apart, 4 * STEPS bytes each. */
#define QK_GEMM_U8S8(name)                                                    \
  void name (const uint8_t *a, int64_t lda, int64_t m, int64_t steps,         \
             const struct qk_gemm_block *b, const struct qk_output *o,        \
             void *out)
typedef QK_GEMM_U8S8 (qk_gemm_u8s8_fn);

/* The same with weights of four bits, two to a byte plus 8 each: an even step's
 * in the lower half, those of the odd step after it in the upper one; extra
 * steps are none.  For few rows, as each unpacks them again. */
typedef QK_GEMM_U8S8 (qk_gemm_u8s4_fn);

/* As qk_gemm_u8s8 where a row of A is made of TAPS pieces of 4 * STEPS bytes that lie
 * anywhere, as the pixels under a window do: row i has piece t at
 * at[t * pitch + i] and goes to row place[i] of OUT.  Where all rows of a tile
 * have SKIP there (NULL: never), the piece is known to be of zeros.  Not where
 * sums are made in int16. */
struct qk_gemm_taps {
  const uint8_t *const *at;
  const int32_t *place;
  int64_t pitch;
  int taps;
  const uint8_t *skip;
};

#define QK_GEMM_TAPS_U8S8(name)                                               \
  void name (const struct qk_gemm_taps *t, int64_t m, int64_t steps,          \
             const struct qk_gemm_block *b, const struct qk_output *o,        \
             void *out)
typedef QK_GEMM_TAPS_U8S8 (qk_gemm_taps_u8s8_fn);

/* The same where a row of A is LINES pieces that lie PITCH bytes apart, as the
 * lines under a window of few channels do: row i has piece t at
 * a + i * lda + t * pitch. */
struct qk_gemm_lines {
  const uint8_t *a;
  int64_t lda, pitch;
  int lines;
};

#define QK_GEMM_LINES_U8S8(name)                                              \
  void name (const struct qk_gemm_lines *l, int64_t m, int64_t steps,         \
             const struct qk_gemm_block *b, const struct qk_output *o,        \
             void *out)
typedef QK_GEMM_LINES_U8S8 (qk_gemm_lines_u8s8_fn);

/* ---- winograd: windows of 3x3, 4x4 outputs at once ---------------------
 * F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural
 * Networks", 2015: Y = A^T [(G g G^T) * (B^T d B)] A, with 36 products for 16
 * outputs instead of 144.  In whole numbers, so that nothing is rounded: G
 * and A^T here have the rational ones' denominators taken out,
 *
 *         4  0 -5  0  1  0          6  0  0
 *         0 -4 -4  1  1  0         -4 -4 -4         1  1  1  1  1  0
 *   B^T = 0  4 -4 -1  1  0   G =   -4  4 -4   A^T = 0  1 -1  2 -2  0
 *         0 -2 -1  2  1  0          1  2  4         0  1  1  4  4  0
 *         0  2 -1 -2  1  0          1 -2  4         0  1 -1  8 -8  2
 *         0  4  0 -5  0  1          0  0 12
 *
 * which gives 24^2 Y.  B^T d B is at most 100 * 255, G g G^T 144 * 128: both
 * fit int16.  Sums are made modulo 2^32, where 576 Y determines Y if that is
 * known to lie in -2^25 … 2^25 - 1, as packing proves: divide by 9 with the
 * inverse of 9, and by 64 with a shift.
 *
 * Where no more than two rows or columns of outputs are left, a tile is LOW or
 * NARROW: F(2, 3) in that direction, with numbers 0, 1, 2 and 5 of the same
 * transformed weights and
 *
 *         4  0 -4  0
 *   B^T = 0 -3 -3  0   A^T = 1  1  1  0
 *         0  3 -3  0         0  1 -1  1
 *         0 -2  0  2
 */
#define QK_WINOGRAD_NINTH 954437177 /* times 9 is 1 modulo 2^32 */

struct qk_winograd_block {
  const int16_t *u;        /* G g G^T, u[36][steps][NR][2]; see product */
  const int32_t *bias;     /* NR; - z_in * sum_k w added, modulo 2^32 */
  const float *multiplier; /* NR */
  int n;                   /* channels in use, the rest are 0 */
  int vectors;
};

/* B^T d B of TILES tiles, all LOW or NARROW or not: AT[36] are the pixels of a
 * tile, row by row, of CHANNELS bytes.  Number i of tile t goes to
 * v + i * pitch + t * lda: whole vectors, with 0 beyond CHANNELS. */
#define QK_WINOGRAD_INPUT(name)                                               \
  void name (bool low, bool narrow, const uint8_t *const *at, int64_t tiles,  \
             int64_t channels, int64_t lda, int64_t pitch, int16_t *v)
typedef QK_WINOGRAD_INPUT (qk_winograd_input_fn);

/* out[t][n] = sum_c v[t * lda + c] * u[c / 2][n][c % 2] modulo 2^32, for M
 * tiles, 2 * STEPS channels of inputs and VECTORS * lanes of outputs. */
#define QK_WINOGRAD_PRODUCT(name)                                             \
  void name (const int16_t *v, int64_t lda, int64_t m, int64_t steps,         \
             const int16_t *u, int vectors, int32_t *out)
typedef QK_WINOGRAD_PRODUCT (qk_winograd_product_fn);

#define QK_WINOGRAD_TILES 48 /* at most, whose sums are made together */
/* Numbers from one of their 36 sums to the next; a cache line more, or these
 * would compete for the same ones. */
#define QK_WINOGRAD_PITCH(max_vectors, lanes)                                 \
  (QK_WINOGRAD_TILES * (max_vectors) * (lanes) + 16)

/* A^T M A of TILES tiles to bytes: number i of tile t is at
 * m[i * QK_WINOGRAD_PITCH (max_vectors, lanes) + t * NR]; the pixels TO[16] of a
 * tile receive channels CHANNEL to CHANNEL + b->n - 1. */
#define QK_WINOGRAD_OUTPUT(name)                                              \
  void name (bool low, bool narrow, const int32_t *m, int64_t tiles,          \
             const struct qk_winograd_block *b, const struct qk_output *o,    \
             uint8_t *const *to, int64_t channel)
typedef QK_WINOGRAD_OUTPUT (qk_winograd_output_fn);

struct qk_winograd_kernels {
  qk_winograd_input_fn *input;
  qk_winograd_product_fn *product;
  qk_winograd_output_fn *output;
};

/* ---- dwconv: depthwise convolution, one output row ---------------------
 * Weights of a block of 4 * lanes channels: taps of a column of the window
 * in groups of four rows, weight[group][s][i][lane][row % 4], where channel
 * (i, lane) is 16 * (lane / 4) + 4 * i + lane % 4; likewise bias[i][lane].
 * Where a group has three rows, the fourth place is the middle row once more
 * (a weight of 0 if it is not needed): it takes what is too much of that
 * row's weight for a sum in int16.  Where it has one, the four places are four
 * columns of that row: weight[group][s / 4][i][lane][s % 4].  WEIGHT2 (or
 * NULL) holds the other halves of weights that still do not fit; bit i of
 * HALVED, for each [group][s], is set where [i] has some, and no other vector of
 * WEIGHT2 is read.  The last of several blocks is a full one too: it overlaps
 * the one before. */
struct qk_dwconv_block {
  const int8_t *weight, *weight2;
  const uint8_t *halved; /* [steps]; for WEIGHT2 */
  const int32_t *bias;
  const float *multiplier;
  int64_t first; /* channel */
  int n;         /* channels in use, the rest are 0 */
};

/* Where the tap of row R and column S lies: a multiple of a step's weights, and
 * its place among four. */
static inline int64_t
qk_dwconv_step (int kernel_h, int kernel_w, int r, int s, int *place)
{
  const bool across = kernel_h % 4 == 1 && r == kernel_h - 1;

  *place = across ? s % 4 : r % 4;
  return (int64_t) (r / 4) * kernel_w + (across ? s / 4 : s);
}

/* How many steps there are. */
static inline int64_t
qk_dwconv_steps (int kernel_h, int kernel_w)
{
  int place;

  return qk_dwconv_step (kernel_h, kernel_w, kernel_h - 1, kernel_w - 1,
                         &place)
         + 1;
}

/* Outputs whose columns of the input are in the buffer at the same time, and
 * how many columns N outputs have. */
#define QK_DWCONV_CHUNK 32
static inline int64_t
qk_dwconv_columns (int kernel_w, int dilation, int stride, int64_t n)
{
  return (n - 1) * stride + (int64_t) (kernel_w - 1) * dilation + 1;
}

struct qk_dwconv_row {
  const uint8_t *const *row; /* kernel_h rows; PAD with step 0 if outside */
  const int64_t *step;       /* bytes from one column to the next */
  const uint8_t *pad;        /* channels bytes of the input's zero point */
  int kernel_h, kernel_w, stride, dilation, pad_left;
  int64_t width, channels, q; /* q: output columns */
  const struct qk_dwconv_block *block;
  int blocks;
  /* room for the columns of a chunk, 16 * lanes bytes for each four rows of
   * each column; not for 3x3 windows without dilation */
  uint8_t *buffer;
};

#define QK_DWCONV_U8S8(name)                                                  \
  void name (const struct qk_dwconv_row *w, const struct qk_output *o,        \
             uint8_t *out)
typedef QK_DWCONV_U8S8 (qk_dwconv_u8s8_fn);

/* ---- grouped: convolution in groups of few channels, one output row ----
 * A block is a vector of output channels, those of whole groups or a part of
 * one, which see sixteen bytes of a pixel at most: those from FROM on, of
 * which lane l, as its piece j, takes the bytes that index[j][l] names, 0 for
 * 0x80.  A piece is the next four channels of the lane's group, or, where the
 * level widens bytes, two, each with a 0 behind it.  Weights are
 * weight[tap][j][l], int8 of four channels or int16 of two, taps row by
 * row. */
struct qk_grouped_block {
  const int8_t *weight;
  const uint8_t *index;
  const int32_t *bias; /* - z_in * sum w added, modulo 2^32 */
  const float *multiplier;
  int64_t first; /* output channel */
  int64_t from;  /* input channel */
  int n;         /* channels in use, the rest are 0 */
};

struct qk_grouped_row {
  /* at[r * columns + x]: the pixel under row r of the window, whose left
   * column is x: sixteen bytes can be read from each of its channels FROM */
  const uint8_t *const *at;
  int64_t columns;
  int kernel_h, kernel_w, stride, dilation, pieces;
  int64_t q; /* output columns */
  const struct qk_grouped_block *block;
  int blocks;
};

#define QK_GROUPED_U8S8(name)                                                 \
  void name (const struct qk_grouped_row *w, const struct qk_output *o,       \
             uint8_t *out)
typedef QK_GROUPED_U8S8 (qk_grouped_u8s8_fn);

/* ---- peak --------------------------------------------------------------
 * ROUNDS turns of a loop of products on registers, F32 or u8s8 in int32; how
 * many multiply-accumulates that was. */
#define QK_PEAK(name) int64_t name (int64_t rounds, bool f32)
typedef QK_PEAK (qk_peak_fn);

/* ---- dispatch ---------------------------------------------------------- */

struct qk_kernels {
  enum qk_cpu_level level;
  int lanes;       /* int32 in a vector */
  int max_vectors; /* a gemm block has 1 to so many */
  bool saturates;  /* pairs must be certified when packing */
  qk_gemm_u8s8_fn *gemm;
  qk_gemm_u8s4_fn *gemm_u8s4;
  int64_t u8s4_rows;                 /* for more, gemm is faster */
  qk_gemm_taps_u8s8_fn *gemm_taps;   /* or NULL */
  qk_gemm_lines_u8s8_fn *gemm_lines; /* or NULL */
  struct qk_winograd_kernels winograd;
  qk_dwconv_u8s8_fn *dwconv;
  qk_dwconv_u8s8_fn *dwconv_narrow; /* with half of the lanes, or NULL */
  qk_grouped_u8s8_fn *grouped;      /* or NULL */
  int grouped_piece;                /* channels of a piece */
  qk_peak_fn *peak;                 /* or NULL */
};

/* The best kernels for a CPU of LEVEL. */
void qk_kernels_init (struct qk_kernels *k, enum qk_cpu_level level);

QK_GEMM_U8S8 (qk_gemm_u8s8_1x16__c);
QK_GEMM_U8S8 (qk_gemm_u8s8_6x16__avx2);
QK_GEMM_U8S8 (qk_gemm_u8s8_6x16__avxvnni);
QK_GEMM_U8S8 (qk_gemm_u8s8_6x64__avx512);
QK_GEMM_U8S8 (qk_gemm_u8s8_6x64__avx512vnni);
QK_GEMM_U8S8 (qk_gemm_u8s4_1x16__c);
QK_GEMM_U8S8 (qk_gemm_u8s4_2x16__avx2);
QK_GEMM_U8S8 (qk_gemm_u8s4_2x16__avxvnni);
QK_GEMM_U8S8 (qk_gemm_u8s4_4x64__avx512);
QK_GEMM_U8S8 (qk_gemm_u8s4_4x64__avx512vnni);
QK_GEMM_TAPS_U8S8 (qk_gemm_taps_u8s8_1x16__c);
QK_GEMM_TAPS_U8S8 (qk_gemm_taps_u8s8_6x16__avxvnni);
QK_GEMM_TAPS_U8S8 (qk_gemm_taps_u8s8_6x64__avx512vnni);
QK_GEMM_LINES_U8S8 (qk_gemm_lines_u8s8_1x16__c);
QK_GEMM_LINES_U8S8 (qk_gemm_lines_u8s8_6x16__avxvnni);
QK_GEMM_LINES_U8S8 (qk_gemm_lines_u8s8_6x64__avx512vnni);
#define QK_WINOGRAD_DECLARE(isa)                                              \
  QK_WINOGRAD_INPUT (qk_winograd_input_u8s8__##isa);                          \
  QK_WINOGRAD_PRODUCT (qk_winograd_product_u8s8__##isa);                      \
  QK_WINOGRAD_OUTPUT (qk_winograd_output_u8s8__##isa)
QK_WINOGRAD_DECLARE (c);
QK_WINOGRAD_DECLARE (avx2);
QK_WINOGRAD_DECLARE (avxvnni);
QK_WINOGRAD_DECLARE (avx512);
QK_WINOGRAD_DECLARE (avx512vnni);
QK_DWCONV_U8S8 (qk_dwconv_u8s8__c);
QK_DWCONV_U8S8 (qk_dwconv_u8s8__avx2);
QK_DWCONV_U8S8 (qk_dwconv_u8s8__avxvnni);
QK_DWCONV_U8S8 (qk_dwconv_u8s8__avx512);
QK_DWCONV_U8S8 (qk_dwconv_u8s8__avx512vnni);
QK_DWCONV_U8S8 (qk_dwconv_u8s8_narrow__avx512vnni);
QK_GROUPED_U8S8 (qk_grouped_u8s8__avx2);
QK_GROUPED_U8S8 (qk_grouped_u8s8__avxvnni);
QK_GROUPED_U8S8 (qk_grouped_u8s8__avx512);
QK_GROUPED_U8S8 (qk_grouped_u8s8__avx512vnni);
QK_PEAK (qk_peak__avx2);
QK_PEAK (qk_peak__avxvnni);
QK_PEAK (qk_peak__avx512);
QK_PEAK (qk_peak__avx512vnni);

#endif /* INT8GEMM_KERNELS_H */
