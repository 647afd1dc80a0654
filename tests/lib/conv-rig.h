/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv-rig.h: a conv2d or linear layer with everything it works on, and the
 * naive integer sum, for the tests of both. */
#ifndef TESTS_LIB_CONV_RIG_H
#define TESTS_LIB_CONV_RIG_H

#include "qatkit/qatkit.h"

struct rig_given {
  const char *layer, *options;
  struct qk_shape in;
};

enum {
  BN = 1,
  RELU = 2,
  RELU6 = 4,
  PER_TENSOR = 8,
  BY_TENSOR = 16,
  TWICE = 32,
  LARGE = 64,
  /* of a quantized layer: what is not */
  FLOAT_IN = 128,
  FLOAT_WEIGHT = 256,
  FLOAT_OUT = 512,
  /* 16 bits: real numbers on such a grid */
  IN16 = 1024,
  OUT16 = 2048
};

struct rig {
  struct qk_context *ctx;
  const struct qk_layer_class *cls;
  void *self;
  struct qk_rng rng;
  struct qk_layer_io io;
  struct qk_tensor in, out, dout, din, param[8], dparam[8];
  struct qk_shape in_shape, out_shape;
  int what;
  bool bias;
  bool unusable; /* the strategies are not right here: nothing but close it */
  float lo, hi;
};

/* Sizes in one place for both naive evaluations. */
struct rig_sizes {
  int64_t n, h, w, c, p, q, k, cg;
};

/* Calls for the elements below one output: element of x (-1: padding) and of
 * the weight. */
#define FOR_WINDOW(op, z, n_, p_, q_, k_, xi, wi)                             \
  for (int r_ = 0; r_ < (op)->kernel_h; r_++)                                 \
    for (int s_ = 0; s_ < (op)->kernel_w; s_++)                               \
      for (int64_t c_                                                         \
           = 0,                                                               \
           ih_ = p_ * (op)->stride_h - (op)->pad_top + r_ * (op)->dilation_h, \
           iw_                                                                \
           = q_ * (op)->stride_w - (op)->pad_left + s_ * (op)->dilation_w,    \
           xi, wi;                                                            \
           c_ < (z).cg                                                        \
           && (xi = ih_ < 0 || ih_ >= (z).h || iw_ < 0 || iw_ >= (z).w        \
                      ? -1                                                    \
                      : ((n_ * (z).h + ih_) * (z).w + iw_) * (z).c            \
                          + k_ / ((z).k / (op)->groups) * (z).cg + c_,        \
              wi                                                              \
               = ((k_ * (op)->kernel_h + r_) * (op)->kernel_w + s_) * (z).cg  \
                 + c_,                                                        \
              true);                                                          \
           c_++)

/* The call's result must be >= 0. */
void rig_checked (int ret);
/* QUANTIZED: weight and output have quantizers, the input a grid, except
 * for what WHAT says. */
void rig_open (struct rig *b, const struct rig_given *g, int what, int threads,
               bool train, bool quantized, uint64_t seed);
/* The same with strategies of plugins/common/conv by name; where they are not
 * right for G, b->unusable is set. */
void rig_open_with (struct rig *b, const struct rig_given *g,
                    const char *forward, const char *backward, int what,
                    int threads, bool train, bool quantized, uint64_t seed);
void rig_close (struct rig *b);
/* Bytes or floats between LO and HI; any numbers of a grid of 16 bits. */
void rig_fill (struct rig *b, struct qk_tensor *t, float lo, float hi);
struct qk_quantizer *rig_quantizer (struct rig *b, bool weight,
                                    int64_t channels);
void rig_observing (struct rig *b, bool weight, bool out);
void rig_forward (struct rig *b, unsigned flags);
/* What lower tells; rig_op_free frees its arrays. */
struct qk_op rig_lowered (struct rig *b);
void rig_op_free (struct qk_op *op);
struct rig_sizes rig_sizes_of (const struct rig *b, const struct qk_op *op);
/* The accumulator of output element I, bias included. */
int64_t rig_naive_sum (const struct rig *b, const struct qk_op *op, int64_t i);

/* Integer I of the input on its grid, and number I of the output. */
int32_t rig_in_integer (const struct rig *b, int64_t i);
float rig_out_real (const struct rig *b, int64_t i);

/* Small ones of all kinds; sums beyond 2^24, which float32 cannot hold;
 * several blocks a thread and enough rows for the transposed weight. */
enum { RIG_GIVENS = 17, RIG_WIDE = 3, RIG_LARGE = 6 };
extern const struct rig_given rig_givens[RIG_GIVENS];
extern const struct rig_given rig_wide[RIG_WIDE];
extern const struct rig_given rig_large[RIG_LARGE];

#endif /* TESTS_LIB_CONV_RIG_H */
