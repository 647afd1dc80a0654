/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layer-harness.h: run a single layer the way the library does, strictly.
 *
 * Buffers have guard bytes at both ends; outputs, workspace and what a layer
 * said it does not need between forward and backward are overwritten with
 * NaN; the batch of a call is smaller than the one of setup. */
#ifndef QATKIT_TESTS_LAYER_HARNESS_H
#define QATKIT_TESTS_LAYER_HARNESS_H

#include <qatkit/context.h>
#include <qatkit/layer.h>

/* What to make.  Shapes are those of the calls; setup gets a batch more. */
struct harness_spec {
  const char *layer;   /* "conv2d" */
  const char *options; /* "stride=2"; NULL for none */
  const char *absorb;  /* "batchnorm2d relu6"; NULL for nothing */
  unsigned flags;      /* enum qk_pass_flags; TRAIN allows backward */
  int threads;
  int n_in;
  struct qk_shape in[QK_OP_MAX_INPUTS];
  enum qk_dtype dtype[QK_OP_MAX_INPUTS]; /* QK_NONE means f32 */
  struct qk_qparams q;                   /* of the u8 inputs */
};

struct harness {
  const struct qk_layer_class *cls;
  void *self;
  struct qk_layer_traits traits;
  struct qk_layer_setup setup;
  int n_params;
  struct qk_param_spec spec[QK_LAYER_MAX_PARAMS];
  struct qk_tensor in[QK_OP_MAX_INPUTS], out, dout;
  struct qk_tensor din[QK_OP_MAX_INPUTS]; /* data NULL but for f32 inputs */
  struct qk_tensor param[QK_LAYER_MAX_PARAMS], dparam[QK_LAYER_MAX_PARAMS];
  struct qk_layer_io io; /* points to the above; may be changed for a call */
  uint64_t seed;         /* of the generator each forward starts with */
  struct qk_rng rng;
};

/* Make the layer and all buffers: inputs zero, parameters as the layer's
 * specification says (random ones small), out u8 when in[0] is.  0 or the
 * layer's error.  Free with harness_free also after an error. */
int harness_new (struct qk_context *ctx, const struct harness_spec *spec,
                 struct harness *h);
void harness_free (struct harness *h);

/* Run the layer.  -EFAULT with a sentence when a guard byte was changed,
 * else what the layer returns. */
int harness_forward (struct harness *h);
int harness_backward (struct harness *h);

/* Fill a tensor: f32 uniform in lo..hi; u8 and i32 whole numbers in
 * lo..hi. */
void harness_fill (const struct qk_tensor *t, struct qk_rng *rng, float lo,
                   float hi);
size_t harness_bytes (const struct qk_tensor *t);

/* A tensor with guard bytes, and its end; for what a test adds itself. */
int harness_tensor (struct qk_tensor *t, enum qk_dtype dtype,
                    const struct qk_shape *shape);
void harness_tensor_free (struct qk_tensor *t);
/* -EFAULT with a sentence when a guard byte of T, called WHAT, was changed;
 * without data 0. */
int harness_tensor_check (const struct qk_tensor *t, const char *what);
/* Overwrite it with NaN, 255 or -1. */
void harness_tensor_scribble (const struct qk_tensor *t);

#endif /* QATKIT_TESTS_LAYER_HARNESS_H */
