/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pointwise.h: operations without weights, shared by backends: what each CPU
 * level brings are the kernels; threads, windows and grids are the same.
 *
 * A level's kernels are named qk_FAMILY_TYPES__ISA and come from template.h,
 * written in the vectors of the backend.  Kernels check nothing, touch only
 * the elements they are told of, and keep to numeric.h's formulas. */
#ifndef POINTWISE_H
#define POINTWISE_H

#include <qatkit/numeric.h>

#include "broadcast/broadcast.h"
#include "int8op/int8op.h"
#include "move/gather.h"
#include "move/resample.h"
#include "move/transpose.h"
#include "reduce/reduce.h"

/* ---- kernels ----------------------------------------------------------- */

/* What functions of two tensors compute in fixed point (fixed.h).  Sums: with
 * v = a A + b B + C, A = sum a[i] 2^-(7 i + 7) and so on, floor (v) is clamped
 * to lo..hi; a difference has 255 - b in place of b.  Products: clamp (zp +
 * round ((a - za) (b - zb) m 2^-30)), halves going up. */
struct qk_fixed {
  uint8_t a[4], b[4]; /* all but the first are below 128 */
  int32_t c[3];       /* that, too; the first may be negative */
  int32_t m;
};

/* Grids as floats and integers, ready to use. */
struct qk_grids {
  int32_t za, zb;     /* zero points of the inputs */
  float sa, sb;       /* their scales */
  float inv;          /* 1 / scale of the output */
  int32_t zp, lo, hi; /* of the output */
  bool bounded;       /* rounding cannot overflow: |f (a, b) inv| < 2^30 */
  struct qk_fixed fixed;
};

/* numeric.h: qk_binary_quantized, of one function each */
#define QK_BINARY_U8(name)                                                    \
  void name (const uint8_t *a, const uint8_t *b, int64_t n,                   \
             const struct qk_grids *g, uint8_t *out)
/* numeric.h: qk_regrid */
#define QK_REGRID_U8(name)                                                    \
  void name (const uint8_t *a, int64_t n, const struct qk_grids *g,           \
             uint8_t *out)
/* numeric.h: qk_quantize */
#define QK_QUANTIZE_F32(name)                                                 \
  void name (const float *a, int64_t n, const struct qk_grids *g, uint8_t *out)
/* numeric.h: qk_dequantize */
#define QK_DEQUANTIZE_U8(name)                                                \
  void name (const uint8_t *a, int64_t n, const struct qk_grids *g, float *out)
#define QK_CLAMP_U8(name)                                                     \
  void name (const uint8_t *a, int64_t n, int lo, int hi, uint8_t *out)
typedef QK_BINARY_U8 (qk_binary_u8_fn);
typedef QK_REGRID_U8 (qk_regrid_u8_fn);
typedef QK_QUANTIZE_F32 (qk_quantize_f32_fn);
typedef QK_DEQUANTIZE_U8 (qk_dequantize_u8_fn);
typedef QK_CLAMP_U8 (qk_clamp_u8_fn);
/* out = table[a] */
#define QK_TABLE_U8(name)                                                     \
  void name (const uint8_t *a, int64_t n, const uint8_t *table, uint8_t *out)
typedef QK_TABLE_U8 (qk_table_u8_fn);

/* The part of a pooling window inside the sample. */
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

/* ---- kernels that a level may lack -------------------------------------- */

/* Outputs of pooling side by side, from columns that are held. */
struct qk_columns {
  int cols;            /* of each */
  int64_t pitch, step; /* elements between its columns, between outputs */
  int64_t outputs, channels;
};

/* out[i] = the largest of x[i], x[pitch + i], …: ROWS of them, 1 or more */
#define QK_MAX_ROWS_U8(name)                                                  \
  void name (const uint8_t *x, int rows, int64_t pitch, int64_t n,            \
             uint8_t *out)
/* out[q][c] = the largest of x[q step + s pitch + c], bounded; may read 64 bytes
 * beyond X */
#define QK_MAX_COLS_U8(name)                                                  \
  void name (const struct qk_columns *k, const uint8_t *x, int lo, int hi,    \
             uint8_t *out)
/* the same for averages: sums, with at most 257 rows by columns in all */
#define QK_SUM_ROWS_U8(name)                                                  \
  void name (const uint8_t *x, int rows, int64_t pitch, int64_t n,            \
             uint16_t *out)
/* numeric.h: qk_mean_quantized of sums of TAPS elements */
#define QK_MEAN_COLS_U8(name)                                                 \
  void name (const struct qk_columns *k, const uint16_t *x, int32_t taps,     \
             int32_t count, int32_t zp, int lo, int hi, uint8_t *out)
/* out[i] += x[i] + x[pitch + i] + …, ROWS of them */
#define QK_ADD_ROWS_U8(name)                                                  \
  void name (const uint8_t *x, int64_t rows, int64_t pitch, int64_t n,        \
             int32_t *out)
/* out[q][c] = the sum of b[q][j] x[col[q][j]][c], TAPS of them, in their order;
 * may read and write 16 elements beyond X and OUT */
#define QK_BLEND_COLS_F32(name)                                               \
  void name (const float *x, const int32_t *col, const float *b, int taps,    \
             int64_t outputs, int64_t channels, float *out)
/* numeric.h: qk_resample_quantized's sum of a[j] x[j][i]; may read 16 elements
 * beyond x[j] */
#define QK_BLEND_ROWS_U8(name)                                                \
  void name (const float *const *x, const float *a, int taps, int64_t n,      \
             int32_t zp, int lo, int hi, uint8_t *out)
typedef QK_BLEND_COLS_F32 (qk_blend_cols_f32_fn);
typedef QK_BLEND_ROWS_U8 (qk_blend_rows_u8_fn);
typedef QK_MAX_ROWS_U8 (qk_max_rows_u8_fn);
typedef QK_MAX_COLS_U8 (qk_max_cols_u8_fn);
typedef QK_SUM_ROWS_U8 (qk_sum_rows_u8_fn);
typedef QK_MEAN_COLS_U8 (qk_mean_cols_u8_fn);
typedef QK_ADD_ROWS_U8 (qk_add_rows_u8_fn);

/* Each NULL where there is none. */
struct pointwise_extras {
  qk_binary_u8_fn *fixed[QK_FUNCTIONS]; /* by struct qk_fixed */
  qk_max_rows_u8_fn *max_rows;          /* these four together */
  qk_max_cols_u8_fn *max_cols;
  qk_sum_rows_u8_fn *sum_rows;
  qk_mean_cols_u8_fn *mean_cols;
  qk_add_rows_u8_fn *add_rows;
  qk_blend_cols_f32_fn *blend_cols; /* and these two */
  qk_blend_rows_u8_fn *blend_rows;
};

struct pointwise_kernels {
  qk_binary_u8_fn *binary[QK_FUNCTIONS];
  qk_regrid_u8_fn *regrid;
  qk_quantize_f32_fn *quantize;
  qk_dequantize_u8_fn *dequantize;
  qk_clamp_u8_fn *clamp;
  qk_table_u8_fn *table;
  qk_maxpool_u8_fn *maxpool;
  qk_avgpool_u8_fn *avgpool;
  const struct pointwise_extras *extras;
};

/* Declarations and a table of the kernels of a level. */
#define POINTWISE_DECLARE(isa)                                                \
  QK_BINARY_U8 (qk_add_u8__##isa);                                            \
  QK_BINARY_U8 (qk_sub_u8__##isa);                                            \
  QK_BINARY_U8 (qk_mul_u8__##isa);                                            \
  QK_BINARY_U8 (qk_div_u8__##isa);                                            \
  QK_BINARY_U8 (qk_max_u8__##isa);                                            \
  QK_BINARY_U8 (qk_min_u8__##isa);                                            \
  QK_REGRID_U8 (qk_regrid_u8__##isa);                                         \
  QK_QUANTIZE_F32 (qk_quantize_f32__##isa);                                   \
  QK_DEQUANTIZE_U8 (qk_dequantize_u8__##isa);                                 \
  QK_CLAMP_U8 (qk_clamp_u8__##isa);                                           \
  QK_TABLE_U8 (qk_table_u8__##isa);                                           \
  QK_MAXPOOL_U8 (qk_maxpool_u8__##isa);                                       \
  QK_AVGPOOL_U8 (qk_avgpool_u8__##isa)
#define POINTWISE_KERNELS(isa)                                                \
  {                                                                           \
    { qk_add_u8__##isa, qk_sub_u8__##isa, qk_mul_u8__##isa,                   \
      qk_div_u8__##isa, qk_max_u8__##isa, qk_min_u8__##isa },                 \
      qk_regrid_u8__##isa, qk_quantize_f32__##isa, qk_dequantize_u8__##isa,   \
      qk_clamp_u8__##isa, qk_table_u8__##isa, qk_maxpool_u8__##isa,           \
      qk_avgpool_u8__##isa, &pointwise_no_extras                              \
  }

POINTWISE_DECLARE (c);
extern const struct pointwise_extras pointwise_no_extras;
extern const struct pointwise_kernels pointwise_portable;

/* ---- operations -------------------------------------------------------- */

#define POINTWISE_CHUNK 16384 /* elements a thread takes at once */

struct pointwise;
typedef void (pointwise_fn) (const struct pointwise *k, int64_t n,
                             const void *const *in, void *out);

/* One prepared operation; its arrays are the model's. */
struct pointwise {
  struct qk_op op;
  struct int8op_geometry g;
  int64_t channels[QK_OP_MAX_INPUTS]; /* int8op_row of every input */
  int threads;
  struct pointwise_kernels kernels;
  struct qk_grids grids[QK_OP_MAX_INPUTS]; /* of input i and the output */
  qk_binary_u8_fn *binary;                 /* exact for these, or fixed */
  bool identity[QK_OP_MAX_INPUTS];         /* concat: the two are the same */
  struct broadcast broadcast;              /* binary */
  struct transpose transpose;
  struct gather gather;
  struct resample resample;
  struct reduce reduce; /* reduce */
  pointwise_fn *run;
};

/* Prepare OP, checked by int8op_check with geometry G, for input shapes IN
 * and OUT and up to THREADS threads.  *MADE belongs to the caller:
 * pointwise_free.  -ENOTSUP for an operation with weights, -ENOMEM. */
int pointwise_new (const struct pointwise_kernels *kernels, int threads,
                   const struct qk_op *op, const struct int8op_geometry *g,
                   const struct qk_shape *in, const struct qk_shape *out,
                   struct pointwise **made);
/* Accepts NULL. */
void pointwise_free (struct pointwise *k);

/* Run N samples. */
void pointwise_run (const struct pointwise *k, int64_t n,
                    const void *const *in, void *out);

#endif /* POINTWISE_H */
