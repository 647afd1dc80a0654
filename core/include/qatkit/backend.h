/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* backend.h: int8 operations and the plugins that run them. */
#ifndef QATKIT_BACKEND_H
#define QATKIT_BACKEND_H

#include <string.h>

#include "numeric.h"
#include "plugin.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum qk_op_kind {
  /* u8: activations, uint16 where their grid's qmax is above 255, which these may
   * have: conv2d, linear, binary, concat, maxpool2d, clamp, reshape, quantize,
   * dequantize, requantize, transpose and gather */
  QK_OP_CONV2D = 1,      /* x u8 (N,H,W,C) -> u8 (N,P,Q,K), or f32; with a
                            window of 1x1 of any rank, (N,…,C) -> (N,…,K) */
  QK_OP_LINEAR = 2,      /* x u8 (N,…,C) -> u8 (N,…,K), or f32 */
  QK_OP_BINARY = 3,      /* a, b u8 -> u8, see function */
  QK_OP_CONCAT = 4,      /* u8 (N,…,C_i,…) -> (N,…,sum C_i,…): axis */
  QK_OP_MAXPOOL2D = 5,   /* u8 -> u8, same grid */
  QK_OP_AVGPOOL2D = 6,   /* u8 -> u8, same grid; qk_mean_quantized */
  QK_OP_CLAMP = 7,       /* u8 -> u8, same grid; to lo..hi */
  QK_OP_RESHAPE = 8,     /* same bytes, other shape */
  QK_OP_QUANTIZE = 9,    /* f32 -> u8; qk_quantize */
  QK_OP_DEQUANTIZE = 10, /* u8 -> f32; qk_dequantize */
  QK_OP_REQUANTIZE = 11, /* u8 -> u8 on another grid; qk_regrid */
  QK_OP_LINEAR_DYNAMIC = 12, /* x f32 (N,…,C) -> f32 (N,…,K): real_bias */
  QK_OP_TABLE = 13,          /* u8 -> u8, q_out = table[q_in] */
  QK_OP_TRANSPOSE = 14,      /* u8 -> u8, same grid: axes in another order */
  QK_OP_GATHER = 15,         /* u8 -> u8, same grid: elements by places */
  QK_OP_RESIZE = 16,         /* u8 -> u8, same grid: qk_resample_quantized */
  QK_OP_PRELU = 17,          /* u8 (N,…,C) -> u8; qk_prelu_quantized */
  QK_OP_REDUCE = 18,         /* u8 -> u8 along axes; enum qk_reduction */
  QK_OP_CONV_TRANSPOSE2D = 19, /* x u8 (N,H,W,C) -> u8 (N,P,Q,K), or f32 */
  QK_OP_MATMUL = 20, /* a u8 (N,…,M,K), b u8 (N,…,K,P) -> u8 (N,…,M,P) */
  QK_OP_SOFTMAX = 21, /* u8 -> u8 or f32, qk_softmax_real along axis */
  QK_OP_NORM = 22,    /* u8 -> u8, qk_norm_real: layer norm and the like */
  QK_OP_LRN = 23      /* u8 -> u8, qk_lrn_real along the last axis */
};

/* "conv2d", …; NULL for an unknown value. */
QK_PUBLIC const char *qk_op_kind_name (enum qk_op_kind kind);

#define QK_OP_MAX_INPUTS 16
#define QK_MAX_TAPS 16 /* along an axis of resize */

/* One int8 operation, complete.  The formulas are those of numeric.h.
 * Arrays are borrowed and live as long as the model.
 *
 * An op crosses the ABI by pointer only.  Within an ABI major, fields are
 * appended and never change: what lies beyond struct_size does not exist for
 * whoever made the op.  Therefore make one with qk_op_init, keep one with
 * qk_op_copy, and before writing a field that was appended later than the
 * oldest library to be supported, look at struct_size. */
struct qk_op {
  size_t struct_size;
  enum qk_op_kind kind;
  const char *name; /* the node's, for messages */
  int n_in;
  struct qk_qparams in_q[QK_OP_MAX_INPUTS];
  struct qk_qparams out_q; /* scale 0 when the output is f32 */
  /* Bounds of the output's integers, activation clamp included. */
  int32_t lo, hi;

  /* Window: conv2d, maxpool2d, avgpool2d.  Input outside the sample counts
   * as real 0 (the integer zero_point) for convolution, and not at all for
   * pooling (unless count_pad, which counts it as real 0 in averages). */
  int kernel_h, kernel_w, stride_h, stride_w;
  int pad_top, pad_left, pad_bottom, pad_right;
  int dilation_h, dilation_w;
  int groups;
  bool count_pad;

  /* conv2d: weight (K,R,S,C/groups); linear: weight (K,C).
   * out = qk_requantize (sum (a - z_in) * w + bias[k], multiplier[k], …), or,
   * with out_q.scale 0, (float) acc * multiplier[k].  |acc| < 2^31 is
   * guaranteed for every input of 8 bits; for one of more, 255 sum |w| < 2^31,
   * and the sum is made in 64 bits (qk_requantize_wide). */
  /* conv_transpose2d: the same sum over u in place of x, u being x with
   * stride - 1 zeros between its elements and dilation (kernel - 1) - padding
   * before them; stride 1, no padding.  The weight (K,R,S,C/groups) is for
   * that: PyTorch's has its window backwards.  The output may be larger than
   * (H - 1) stride - padding + dilation (kernel - 1) + 1 by less than stride or
   * dilation. */
  int64_t in_channels, out_channels;
  const int8_t *weight;
  const int32_t *bias;
  const float *multiplier;

  /* linear_dynamic: the grid is that of the smallest and the largest number
   * of the whole input of a call (qk_dynamic_grid with lo and hi, and so the
   * result of a sample depends on those beside it);
   * q = qk_quantize (x, …);  out = (float) sum (q - z) * w
   *                               * (s * multiplier[k]) + real_bias[k] */
  const float *real_bias;

  /* conv2d, linear: the scales s_w behind the multipliers, one for all
   * channels or one a channel (NULL and 0: unknown).  Kernels do not need
   * them; what writes networks for other programs does. */
  const float *weight_scale;
  int64_t weight_scales;

  /* binary: qk_binary_quantized of enum qk_function.  The inputs are
   * broadcast to the output's shape as qk_shape_broadcast says.
   * reduce: enum qk_reduction. */
  int function;

  /* table: 256 outputs, all of them in lo..hi */
  const uint8_t *table;

  /* concat: the axis, the batch being 0; 0: the last one
   * softmax: the same, but never 0; function is enum qk_softmax */
  int axis;

  /* transpose: a sample is a tensor of AXES axes, order[2 i] the size of axis
   * i, and axis i of the result is its axis order[2 i + 1].  The shapes of
   * input and output only have the same number of elements. */
  int axes;
  const int32_t *order; /* (axes,2) */

  /* gather: for each axis of the output but the batch, one axis after the
   * other, from which place along that axis of the input its elements come;
   * -1: fill, an integer of the grid. */
  int64_t places;
  const int32_t *place; /* (places) */
  int fill;

  /* resize: x (N,H,W,C) or (N,L,C); each element is a sum of TAPS elements
   * along each axis but the batch and the channels: place has those of the
   * first element of the first axis, then of the second …, and share their
   * shares. */
  int taps;
  const float *share; /* (places) */

  /* prelu: multiplier holds the multipliers below 0, one a channel of the last
   * axis, out_channels of them. */

  /* reduce: bit I for axis I; not the batch axis.  The output has size 1
   * there, or lacks them all. */
  int along;

  /* matmul: the last two axes of a or b are the other way round; those before
   * are broadcast (qk_shape_matmul).  With acc = sum (a - z_a) * (b - z_b),
   * out = qk_requantize (acc, qk_product_multiplier (s_a, s_b, factor, s_out),
   * …).  K is at most QK_MATMUL_DEPTH, so that acc fits int32. */
  bool transpose_a, transpose_b;
  float factor;

  /* norm: of elements of equal statistics.  Per sample: these are all elements
   * of a sample in one of GROUPS equal groups of channels (the last axis);
   * else the channels at one place.  CENTERED: the mean is subtracted.  gamma,
   * beta: a factor and a summand for each of in_channels channels. */
  bool per_sample, centered;
  float eps;
  const float *gamma, *beta;

  /* lrn: over SIZE channels, an odd number, of which the middle one is the
   * output's */
  int size;
  float alpha, power, offset;
};

/* Inner elements of products of activations: 255 * 255 * K < 2^31. */
#define QK_MATMUL_DEPTH 33025
/* Elements that statistics are taken of: sums of their squares times their
 * number fit int64. */
#define QK_NORM_COUNT ((int64_t) 1 << 23)
/* Channels that are summed: their squares' sum is below 2^24. */
#define QK_LRN_SIZE 255

/* An empty op of this header's size. */
static inline void
qk_op_init (struct qk_op *op)
{
  memset (op, 0, sizeof *op);
  op->struct_size = sizeof *op;
}

/* As much of FROM, which another version may have made, as this header knows;
 * the rest is 0. */
static inline void
qk_op_copy (struct qk_op *to, const struct qk_op *from)
{
  qk_op_init (to);
  memcpy (to, from,
          from->struct_size < sizeof *to ? from->struct_size : sizeof *to);
  to->struct_size = sizeof *to;
}

/* Whether one of OP's values has more than 8 bits. */
static inline bool
qk_op_is_wide (const struct qk_op *op)
{
  bool wide = qk_grid_is_wide (&op->out_q);

  for (int i = 0; i < op->n_in; i++)
    wide = wide || qk_grid_is_wide (&op->in_q[i]);
  return wide;
}

/* Check everything of an op but the numbers in its arrays: number of inputs,
 * shapes (IN: n_in of them; dims[0] is the batch), windows, grids, bounds,
 * whether the arrays are there.  What passes can neither overflow an index
 * nor read outside a buffer.  -EINVAL with the op's name, the value found and
 * the one expected. */
QK_PUBLIC int qk_op_check (const struct qk_op *op, const struct qk_shape *in,
                           const struct qk_shape *out);

/* Multiply-accumulates of one sample given the shapes (dims[0] = 1). */
QK_PUBLIC int64_t qk_op_macs (const struct qk_op *op,
                              const struct qk_shape *in,
                              const struct qk_shape *out);

/* What a backend is like on this machine; decides the default qconfig. */
struct qk_backend_caps {
  bool per_channel;      /* weights per output channel by default */
  int activation_bits;   /* 7 or 8: what runs fast here */
  bool exact;            /* gives the bytes of numeric.h */
  const char *cpu_level; /* static text: "avx2", "avx512vnni", "portable" */
  bool wide; /* is offered operations on grids of more than 8 bits, too */
};

/* Uses that a backend can be the default for.  The fallback runs what others
 * cannot: every op, in the bytes of numeric.h. */
enum qk_backend_use {
  QK_FOR_INFERENCE = 1,
  QK_FOR_FALLBACK = 2,
  QK_FOR_FLOAT = 4 /* the slots of float products, below */
};

/* The two gradients of a float convolution over whole tensors:
 * x (N,H,W,C), w (K,R,S,C/groups), d (N,P,Q,K). */
struct qk_convback {
  int64_t n, h, w, c, p, q, k;
  int64_t r, s, groups;
  int64_t stride_h, stride_w, dil_h, dil_w;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
};

/* Threads: a kernel runs from one thread at a time and may use up to the
 * number of threads given (OpenMP); any number gives the same bytes. */
struct qk_backend_class {
  struct qk_class cls;

  /* Describe this machine.  -ENOTSUP with a sentence naming the missing CPU
   * level or library, and what to choose instead, if it cannot run here. */
  int (*probe) (struct qk_backend_caps *caps);

  /* Make an instance for up to THREADS threads; *self belongs to the
   * library: destroy. */
  int (*create) (const struct qk_config *cfg, int threads, void **self);
  /* Accepts NULL; after all kernels were released. */
  void (*destroy) (void *self);

  /* 0 if this op can run, -ENOTSUP with the reason if not: it then falls
   * back to the reference backend, which is reported. */
  int (*supports) (void *self, const struct qk_op *op,
                   const struct qk_shape *in, const struct qk_shape *out);

  /* Pack the op once for inputs of shapes IN (op->n_in of them, dims[0] is
   * the largest batch) and output OUT.  *SCRATCH receives the bytes of
   * scratch memory run needs.  *kernel belongs to the library: release. */
  int (*prepare) (void *self, const struct qk_op *op,
                  const struct qk_shape *in, const struct qk_shape *out,
                  void **kernel, size_t *scratch);
  /* Accepts NULL. */
  void (*release) (void *self, void *kernel);

  /* Run a batch of N samples, 1 <= N <= dims[0].  Buffers are dense,
   * aligned to 64 bytes; nothing outside them is read or written. */
  void (*run) (void *self, void *kernel, int64_t n, const void *const *in,
               void *out, void *scratch);

  /* Measure what one core can do at best at this instance's CPU level: the
   * multiply-accumulates a second of an endless row of the instructions its
   * kernels are built on, on registers alone.  DTYPE is QK_I8 (uint8 times
   * int8 into int32) or QK_F32 (what float training could use).  Takes some
   * ten milliseconds.  *MACS_PER_SECOND 0: cannot tell.
   * (optional; default: cannot tell) */
  int (*peak) (void *self, enum qk_dtype dtype, double *macs_per_second);

  /* Where create was given one thread, run may be called from several at
   * once, for the same kernel too, each with a scratch memory of its own
   * (optional; default: false). */
  bool shared;

  /* What packing found out, as "KEY=VALUE KEY=VALUE …" in plain text of at
   * most SIZE bytes with its end (optional; default: nothing to tell).
   * "safe": share of the weight pairs whose products can be summed in int16
   * as they are; further keys are the backend's own. */
  int (*facts) (void *self, const void *kernel, char *text, size_t size);

  /* Run FIRST, a conv2d or linear with u8 output, and then SECOND, an add that
   * has FIRST's output among its two inputs TERM: the bytes of running one
   * after the other, but piece by piece, while sums are in the cache.  IN is
   * FIRST's input; MIDDLE, one of TERM, memory for FIRST's output, which
   * nothing else reads: what is there afterwards does not matter.  SCRATCH is
   * FIRST's.  (optional; default: they run one after the other) */
  void (*run_joined) (void *self, void *first, void *second, int64_t n,
                      const void *in, void *middle, const void *const *term,
                      void *out, void *scratch);

  /* ---- float products, with which layers train; they need no instance.  The
   * same arguments and number of threads give the same bits; integer-valued
   * operands give the exact product as long as all partial sums stay below
   * 2^24.  False: the library failed.
   * (each optional; default: the layers' own, or none) */

  /* C = op (A) op (B) + beta C, all row-major: C is (m,n) with rows LDC apart,
   * op (A) is (m,k): A is (m,k), or (k,m) when TA; op (B) is (k,n): B is
   * (k,n), or (n,k) when TB.  BETA is 0 (C need not be initialised) or 1;
   * m, n and k are 1 or more.  Called from inside parallel regions: one
   * thread. */
  bool (*sgemm) (bool ta, bool tb, int64_t m, int64_t n, int64_t k,
                 const float *a, int64_t lda, const float *b, int64_t ldb,
                 float beta, float *c, int64_t ldc);

  /* Whether the two below are fast for this shape. */
  bool (*convback_usable) (const struct qk_convback *cb);
  /* Bytes of scratch memory, aligned to 64, that they work in. */
  size_t (*convback_scratch) (const struct qk_convback *cb, int threads);
  /* dx = gradient by x; all of it is written.  SCRATCH has SIZE bytes; where
   * that is not enough they allocate. */
  bool (*convback_data) (const struct qk_convback *cb, int threads,
                         const float *d, const float *w, float *dx,
                         void *scratch, size_t size);
  /* dw = gradient by w; all of it is written. */
  bool (*convback_weights) (const struct qk_convback *cb, int threads,
                            const float *d, const float *x, float *dw,
                            void *scratch, size_t size);
};

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_BACKEND_H */
