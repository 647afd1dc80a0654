/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layer.h: a differentiable operation, and how it meets quantization. */
#ifndef QATKIT_LAYER_H
#define QATKIT_LAYER_H

#include "backend.h"
#include "comm.h"
#include "quantizer.h"
#include "rng.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- parameters ------------------------------------------------------*/

enum qk_param_flags {
  QK_PARAM_TRAINED = 1,  /* has a gradient, moved by the optimizer */
  QK_PARAM_BUFFER = 2,   /* running statistics: kept, not trained */
  QK_PARAM_NO_DECAY = 4, /* biases, batch-norm: no weight decay if asked */
  QK_PARAM_WEIGHT = 8    /* the one a weight quantizer is put on */
};

/* How a PyTorch tensor of the same name is laid out. */
enum qk_param_layout {
  QK_LAYOUT_SAME = 0, /* same axes */
  QK_LAYOUT_OIHW = 1, /* ours is (K,R,S,C), theirs (K,C,R,S) */
  /* of a transposed convolution, whose groups QK_LAYOUT_GROUPED adds: ours is
   * (K,R,S,C/groups), theirs (C,K/groups,R,S), R and S backwards */
  QK_LAYOUT_IOHW_TURNED = 2
};

#define QK_LAYOUT_GROUPED(layout, groups)                                     \
  ((enum qk_param_layout) ((int) (layout) | (groups) << 8))

enum qk_param_init {
  QK_INIT_ZERO = 0,
  QK_INIT_ONE = 1,
  QK_INIT_KAIMING_NORMAL = 2, /* normal, std sqrt (2 / fan), He 2015 */
  QK_INIT_NORMAL = 3,         /* normal, std init_value */
  QK_INIT_UNIFORM = 4,        /* uniform in +-init_value */
  QK_INIT_CONSTANT = 5        /* init_value */
};

struct qk_param_spec {
  const char *name; /* "weight"; static */
  struct qk_shape shape;
  unsigned flags;
  enum qk_param_layout layout;
  enum qk_param_init init;
  float init_value; /* fan for KAIMING_NORMAL, else see above */
};

#define QK_LAYER_MAX_PARAMS 8

/* ---- what a layer is, for the passes ---------------------------------*/

enum qk_role {
  QK_ROLE_OTHER = 0,
  QK_ROLE_WEIGHTED = 1,  /* multiplies by a weight; may absorb what follows */
  QK_ROLE_BATCHNORM = 2, /* y = gamma (x - mean) / sqrt (var + eps) + beta */
  QK_ROLE_CLAMP = 3,     /* y = min (max (x, lo), hi) */
  QK_ROLE_SAME_GRID = 4, /* output lies on the input's grid: pooling,
                            flatten, dropout; gets no quantizer of its own */
  QK_ROLE_GRID = 5       /* puts its input on the grid that its network came
                            with, traits.grid; merged into what computes the
                            input where nothing else reads that */
};

struct qk_layer_traits {
  enum qk_role role;
  float lo, hi;        /* CLAMP; +-INFINITY = no bound */
  float eps, momentum; /* BATCHNORM */
  int64_t macs;        /* multiply-accumulates for one sample */
  bool dynamic;        /* lower also makes a QK_OP_LINEAR_DYNAMIC */
  bool real_out;       /* on quantized inputs the output may be f32 (true of
                          layers of QK_ROLE_WEIGHTED without saying so): as
                          an output of the network it is not quantized */
  bool means;          /* SAME_GRID: gives means of its input, which round; the
                          others only choose among its elements */
  bool wide;           /* input and output may have more than 8 bits: lower
                          makes an operation of them, whose formula is the
                          float forward and then the output's grid; WEIGHTED:
                          that of numeric.h, which forward follows */
  struct qk_qparams grid; /* GRID */
  bool keeps;             /* GRID: it stays; else training begins with it */
};

/* Batch-norm parameters in the order BATCHNORM layers declare them and a
 * layer that absorbed one gets them appended to its own. */
enum { QK_BN_GAMMA, QK_BN_BETA, QK_BN_MEAN, QK_BN_VAR, QK_BN_PARAMS };

/* ---- one call --------------------------------------------------------*/

enum qk_pass_flags {
  QK_PASS_TRAIN = 1,       /* dropout active; keep what backward needs */
  QK_PASS_BATCH_STATS = 2, /* batch-norm uses and updates batch statistics;
                              without it the running ones are used */
  QK_PASS_PREPARED = 4,    /* the slot prepare did its work */
  QK_PASS_ANEW = 8 /* with BATCH_STATS: the running statistics become those of
                      the batch, whatever the momentum */
};

/* Everything a layer works on.  All borrowed for the call.  Batch size is
 * in[0].shape.dims[0] and may be smaller than at setup. */
struct qk_layer_io {
  unsigned flags; /* enum qk_pass_flags */
  int threads;    /* use up to so many (OpenMP) */

  int n_in;
  /* f32, or u8 with a grid (see quantized).  WEIGHTED with traits.wide: one of
   * more than 8 bits is f32 on the grid that its q tells, and so is out where
   * it is f32 and out_qz is given. */
  const struct qk_tensor *in;
  struct qk_tensor *out; /* dtype, shape and data set by the library */

  int n_params;
  const struct qk_tensor *param; /* f32; BUFFER ones may be updated in
                                    forward under QK_PASS_BATCH_STATS */

  /* Quantized networks only (the slot quantized is true). */
  struct qk_quantizer *weight_qz; /* NULL: weights stay float */
  struct qk_quantizer *out_qz;    /* NULL: out is f32 or on in[0]'s grid */

  void *saved;     /* forward writes, backward reads; size from setup */
  void *workspace; /* scratch for one call; size from setup */

  /* backward only */
  const struct qk_tensor *dout;   /* f32, gradient by out */
  const struct qk_tensor *din;    /* f32 each, to be overwritten; data NULL
                                     when that input needs no gradient */
  const struct qk_tensor *dparam; /* f32 each, to be added to; data NULL for
                                     buffers */
  struct qk_rng *rng;             /* forward in training: dropout's mask */

  /* Training in several processes, else NULL and 0: what depends on all
   * samples of the batch is reduced over COMM, and FIRST_SAMPLE samples of
   * the batch come before this process's.  Gradients of parameters are summed
   * by the library afterwards. */
  struct qk_comm *comm;
  int64_t first_sample;

  void *prepared; /* prepare or forward writes, backward reads; size from
                     setup, NULL where no backward follows */
};

/* Sizes a layer asks for, and the facts it may use to choose them. */
struct qk_layer_setup {
  const struct qk_shape *in; /* n_in shapes, dims[0] = largest batch */
  const struct qk_shape *out;
  int n_in;
  int threads;
  bool train;         /* backward will follow */
  bool quantized_in;  /* in[] are u8 */
  bool quantized_out; /* out is u8 with out_qz */
  bool quantized_weight;
  size_t saved;     /* out: bytes kept from forward to backward */
  size_t workspace; /* out: bytes of scratch */
  /* out: whether backward reads in[] or out (then they are kept until it
   * ran); both are true on entry, a layer that needs less says so. */
  bool keep_in, keep_out;
  /* the quantizer of out in forward and backward; NULL: none, or unknown */
  const struct qk_quantizer *out_qz;
  size_t prepared; /* out: bytes kept from prepare to backward */
  /* whose slots of float products to use; NULL: none; it stays */
  const struct qk_backend_class *float_backend;
  /* WEIGHTED: in[0], out are f32 on a grid of more than 8 bits */
  bool wide_in, wide_out;
};

struct qk_layer_class {
  struct qk_class cls;

  /* Make an instance; *self belongs to the library: destroy. */
  int (*create) (const struct qk_config *cfg, void **self);
  /* Accepts NULL. */
  void (*destroy) (void *self);

  /* Check the input shapes (dims[0] is the batch) and give the output's. */
  int (*infer) (void *self, const struct qk_shape *in, int n_in,
                struct qk_shape *out);

  /* Declare own parameters (not absorbed ones); called after infer;
   * returns how many.  (optional; default: none) */
  int (*params) (void *self, struct qk_param_spec *out);

  /* Called after infer.  (optional; default: QK_ROLE_OTHER, 0 macs) */
  void (*describe) (void *self, struct qk_layer_traits *out);

  /* Take over the work of the next layer in the graph, batch-norm or clamp
   * (batch-norm before clamp).  0 if done; -ENOTSUP if this layer cannot.
   * (optional; default: cannot) */
  int (*absorb) (void *self, const struct qk_layer_traits *next);

  /* Say how much memory a call needs.  (optional; default: none; keep_in
   * and keep_out true) */
  int (*setup) (void *self, struct qk_layer_setup *s);

  int (*forward) (void *self, struct qk_layer_io *io);

  /* (optional; default: not differentiable, an error in training) */
  int (*backward) (void *self, struct qk_layer_io *io);

  /* How forward meets u8 tensors.
   * False: it only ever sees f32; around it the library dequantizes the
   *   inputs and observes and quantizes the output.  The int8 formula must
   *   then equal float forward + qk_quantize.
   * True: in[] may be u8 with its grid, out may be u8, and the layer itself
   *   uses weight_qz and out_qz, and sets out->q where out has the grid of
   *   in[0].  Required for layers with a weight and those of
   *   QK_ROLE_SAME_GRID.  It must still do all-f32 calls. */
  bool quantized;

  /* Describe the int8 op for the conversion of a prepared network: fill kind
   * and everything else except name, n_in, in_q, out_q (preset).  weight,
   * bias, multiplier point to arrays made with qk_alloc that the library
   * takes over (io->in[i].q and io->out->q hold the grids; io->param and
   * io->weight_qz as in forward).  io->in[i].shape, io->out->shape are set, data
   * is NULL.  With traits.dynamic: where io->in[0].dtype is QK_F32, a
   * QK_OP_LINEAR_DYNAMIC, whose lo and hi are preset.
   * (optional; default: the node stays float) */
  int (*lower) (void *self, const struct qk_layer_io *io, struct qk_op *op);

  /* Describe the operation in float for files that other programs run: fill
   * kind and geometry of OP as lower does, with the arrays order, place and share
   * where the kind has them; other arrays are left alone, grids and bounds
   * mean nothing.  io holds n_in, in[].shape and out->shape only,
   * with a grid of scale 1; no parameters.  What a layer absorbed is not part
   * of it.  A layer without a weight can give its lower here.
   * (optional; default: cannot be exported in float; layers of
   * QK_ROLE_BATCHNORM and QK_ROLE_CLAMP need it not) */
  int (*geometry) (void *self, const struct qk_layer_io *io, struct qk_op *op);

  /* Layers of QK_ROLE_WEIGHTED: the weight (laid out as the parameter with
   * QK_PARAM_WEIGHT) and bias (one a channel of its first axis) that the
   * layer computes with in evaluation, batch-norm folded in.
   * (optional; default: post-training methods leave the node alone) */
  int (*get_weight) (void *self, const struct qk_tensor *param, float *weight,
                     float *bias);
  /* Change the parameters so that get_weight would give exactly these.
   * BIAS may be NULL: unchanged.  -ENOTSUP where a bias other than 0 is
   * given and the layer has no place for one.  Both or none of the two. */
  int (*set_weight) (void *self, const struct qk_tensor *param,
                     const float *weight, const float *bias);

  /* What of a training step's forward depends on nothing but parameters: of
   * io, flags, threads, param, weight_qz and prepared are set, and only
   * io->prepared and the state of weight_qz may change.  The library calls it
   * for several layers at once, each in a thread of its own, before the first
   * forward of the step.  1: done, forward finds QK_PASS_PREPARED; 0: left to
   * forward, as is an error.
   * (optional; default: left to forward) */
  int (*prepare) (void *self, struct qk_layer_io *io);
};

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_LAYER_H */
