/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fbgemm.h: what the files of the fbgemm backend share. */
#ifndef FBGEMM_H
#define FBGEMM_H

#include "int8op/int8op.h"
#include "phases/phases.h"
#include "kernels.h"
#include "matmulop/matmulop.h"
#include "normop/normop.h"

struct fbgemm_kernel;
struct fbgemm_winograd;
struct fbgemm_grouped;
struct fbgemm_wide;

static inline int64_t
divide_up (int64_t a, int64_t b)
{
  return (a + b - 1) / b;
}

static inline int64_t
round64 (int64_t size)
{
  return divide_up (size, 64) * 64;
}

struct fbgemm {
  int threads;
  struct qk_kernels kernels;
  const struct pointwise_kernels *pointwise;
  struct fbgemm_kernel *last; /* with a product, prepared before; or NULL */
};

/* A matrix product with packed weights, the heart of convolution (one for
 * every group) and linear layers. */
struct fbgemm_product {
  int64_t steps; /* rows of A are 4 * steps bytes */
  int blocks;
  struct qk_gemm_block *block;
  /* Where products are summed in int16: weight pairs, those that may leave it
   * by themselves, weights moved to extra steps, chains and extra steps. */
  int64_t pairs, unsafe, moved, runs, extras;
  void *arrays; /* weights, biases, multipliers */
};

/* One prepared operation. */
struct fbgemm_kernel {
  struct qk_op op; /* its arrays are the model's */
  struct int8op_geometry g;
  int threads;
  struct qk_kernels kernels;
  const struct pointwise_kernels *pointwise;
  void (*run) (const struct fbgemm_kernel *k, int64_t n, const void *const *in,
               void *out, void *scratch);
  bool joins; /* fbgemm_run_joined can */

  uint8_t *pad; /* a pixel of zero points, for windows, or NULL */
  /* For each row and each column of outputs which taps are inside the sample:
   * equal numbers, equal taps.  NULL: rows of A are not sorted by that. */
  uint8_t *row_kind, *column_kind;
  int row_kinds, column_kinds;
  int whole_row, whole_column; /* the kind with all taps, or -1 */

  /* conv2d and linear */
  struct fbgemm_product *product; /* groups of them, or NULL */
  struct fbgemm_product *halves;  /* of weights two to a byte, for few rows, or
                                     NULL */
  bool direct;                    /* A is the input itself */
  int taps;        /* pieces of the input that make a row of A; 0: copied */
  int lines;       /* lines of the input that do; 0: not in place */
  int64_t line;    /* bytes of a panel's row that a line of the window has */
  bool short_rows; /* of a window: at most 16 bytes */
  bool wide;       /* products may pass 2^31: requantize from f32 */
  int64_t rows;    /* of A in a piece of work */
  int64_t pitch;   /* bytes of a row of A's panel */
  size_t panel, tile; /* bytes of scratch a thread has for A and f32 */

  /* conv2d with windows of 3x3, see winograd.c */
  struct fbgemm_winograd *winograd;

  /* conv2d and linear of values of more than 8 bits, see wide.c */
  struct fbgemm_wide *wide16;

  /* conv2d in groups of few channels, see grouped.c */
  struct fbgemm_grouped *grouped;

  /* depthwise */
  qk_dwconv_u8s8_fn *dwconv;
  int dw_lanes; /* of its vectors */
  struct qk_dwconv_block *dw;
  int dw_blocks;
  /* weight pairs, those that may leave int16, those multiplied in halves */
  int64_t dw_pairs, dw_unsafe, dw_halved;
  void *dw_arrays;

  /* pointwise */
  struct pointwise *point;

  struct phased *phased; /* conv_transpose2d */

  /* softmax and normalisations */
  struct normop *norm;

  /* products of two activations */
  struct matmulop *matmul;
};

/* What inputs can be, zero point (padding) included. */
struct fbgemm_range {
  int lo, hi;
};

struct fbgemm_range fbgemm_input_range (const struct qk_op *op);

/* W: weights of a column of three rows, whose middle row the kernel also
 * offers to the fourth: give it so much of that weight that the first pair
 * cannot leave int16. */
void fbgemm_split_middle (struct fbgemm_range r, int8_t *w);

/* Split the pair of weights at W, into W and REST, if a0 w0 + a1 w1 can leave
 * int16; neither part can then.  Whether it did. */
bool fbgemm_halve_pair (struct fbgemm_range r, int8_t *w, int8_t *rest);

/* How many of COUNT pairs of weights may leave int16 by themselves. */
int64_t fbgemm_unsafe_pairs (struct fbgemm_range r, const int8_t *w,
                             int64_t count);

/* Choose the chain of block B and its middles, and move weights to its extra
 * steps, so that no sum leaves int16.  WEIGHT is b->weight, of STEPS steps of
 * NR channels, and BIAS b->bias.  Returns how many weights were moved, or
 * -ENOMEM. */
int64_t fbgemm_certify (struct fbgemm_range r, struct qk_gemm_block *b,
                        int8_t *weight, int32_t *bias, int64_t steps, int nr);

/* Pack the weights of COUNT channels, each K bytes at weight[n * K].
 * -ENOMEM. */
int fbgemm_pack (const struct qk_kernels *kernels, const struct qk_op *op,
                 int64_t first, int64_t count, int64_t k,
                 struct fbgemm_product *out);
void fbgemm_unpack (struct fbgemm_product *p);
/* The same of one group's weights, which all fit four bits, two to a byte: for
 * gemm_u8s4. */
int fbgemm_pack_halves (const struct qk_kernels *kernels,
                        const struct qk_op *op, int64_t k,
                        struct fbgemm_product *out);
/* The bias of CHANNEL, whose K weights are W, less z_in * sum w; modulo
 * 2^32. */
int32_t fbgemm_folded_bias (const struct qk_op *op, int64_t channel,
                            const int8_t *w, int64_t k);
/* Pack depthwise weights into k->dw.  -ENOMEM. */
int fbgemm_pack_dwconv (struct fbgemm_kernel *k);

/* Whether |(float) acc * multiplier| stays below 2^31 for every input and
 * channel; K weights a channel. */
bool fbgemm_fits_int32 (const struct qk_op *op, int64_t k);

/* Copy rows FIRST .. FIRST+COUNT-1 of A, channels from C0 on, to PANEL. */
void fbgemm_pack_panel (const struct fbgemm_kernel *k, const uint8_t *in,
                        int64_t first, int64_t count, int64_t c0,
                        uint8_t *panel);

/* The outputs of a row whose windows lie inside the sample, FROM to TO - 1. */
void fbgemm_inside (const struct fbgemm_kernel *k, int64_t *from, int64_t *to);

/* Put rows FIRST .. FIRST+COUNT-1 of A into an order, row PLACE[i] at i, in
 * groups of (nearly) the same taps inside the sample where k->row_kind says
 * so, and point AT[tap * COUNT + i] to the pixel under each tap, or to k->pad.
 * END: where each group ends.  Returns how many there are, at most
 * FBGEMM_MOST_GROUPS. */
int fbgemm_point_taps (const struct fbgemm_kernel *k, const uint8_t *in,
                       int64_t first, int64_t count, int64_t c0,
                       int32_t *place, const uint8_t **at, int32_t *end);

/* Fill row_kind and column_kind if sorting is worth while.  -ENOMEM. */
int fbgemm_sort_rows (struct fbgemm_kernel *k);

enum {
  FBGEMM_MOST_ROWS = 264, /* of A in a piece of work */
  FBGEMM_MOST_GROUPS = 16
};

/* The slot of the class. */
int fbgemm_peak (void *self, enum qk_dtype dtype, double *macs_per_second);

/* Run K, of one group, and the addition ADD of its output, which is MIDDLE
 * among TERM, piece by piece. */
void fbgemm_run_joined (const struct fbgemm_kernel *k,
                        const struct pointwise *add, int64_t n, const void *in,
                        void *middle, const void *const *term, void *out,
                        void *scratch);

/* Choose and pack; set k->run.  Negative errno. */
int fbgemm_prepare_weighted (struct fbgemm_kernel *k, size_t *scratch);
int fbgemm_prepare_depthwise (struct fbgemm_kernel *k, size_t *scratch);

/* Whether OP has values of more than 8 bits that are done here. */
bool fbgemm_suits_wide (const struct qk_op *op);
int fbgemm_prepare_wide (struct fbgemm_kernel *k, size_t *scratch);

/* Whether its groups have so few channels that vectors hold those of several. */
bool fbgemm_suits_grouped (const struct fbgemm_kernel *k);
int fbgemm_prepare_grouped (struct fbgemm_kernel *k, size_t *scratch);
void fbgemm_release_grouped (struct fbgemm_grouped *f);

void fbgemm_prepare_matmul (struct fbgemm_kernel *k, const struct qk_shape *in,
                            size_t *scratch);

/* Whether fewer products by transforms of windows are exact here, and worth
 * while. */
bool fbgemm_suits_winograd (const struct fbgemm_kernel *k);
int fbgemm_prepare_winograd (struct fbgemm_kernel *k, size_t *scratch);
void fbgemm_release_winograd (struct fbgemm_winograd *w);

#endif /* FBGEMM_H */
