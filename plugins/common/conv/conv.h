/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* conv.h: convolution with absorbed batch-norm and clamp, float and
 * quantized, forward and backward; what the layers conv2d and linear share.
 *
 * x (N,H,W,C), w (K,R,S,C/groups), y (N,P,Q,K):
 *   y[n,p,q,k] = b[k] + sum w[k,r,s,c]
 *                * x[n, p sh + r dh - top, q sw + s dw - left, c]
 * and, once absorbed, y <- gamma (y - mean) / sqrt (var + eps) + beta and
 * y <- min (max (y, lo), hi).  A linear layer is the 1x1 case whose pixels are the
 * rows of a sample, H = 1.
 *
 * With a weight quantizer the formulas are those of PyTorch's _ConvBnNd
 * (Krishnamoorthi 2018, "Quantizing deep convolutional networks", 3.2.2):
 * the weight is multiplied by gamma / sigma of the stored statistics before
 * it is put on the grid, and the result divided by it again. */
#ifndef QATKIT_COMMON_CONV_H
#define QATKIT_COMMON_CONV_H

#include <qatkit/layer.h>

#include "int8gemm/kernels.h"

struct conv_forward;
struct conv_back;

/* Where things lie in the memory the library hands out; made by setup. */
struct qk_conv_plan {
  struct qk_kernels kernels; /* products of bytes */
  const struct qk_backend_class
    *float_backend; /* products of float, or NULL */
  int threads;
  bool train, i8_weight;
  bool grid_out;          /* out is on a grid of its own: u8, or … */
  bool wide_in, wide_out; /* f32 on a grid of more than 8 bits */
  const struct conv_forward *forward; /* the strategies: see conv-priv.h */
  const struct conv_back *back;
  bool ahead; /* prepare works on the weight */
  bool
    own_pack; /* the order for integer products is kept from there to backward */
  bool again;      /* acc is not kept but computed again where it is read */
  bool over_acc;   /* d of the whole batch takes the place of acc */
  bool own_y;      /* there is room for all of y */
  int64_t batch;   /* largest, in samples */
  int64_t rows;    /* most output rows (pixels) of one block */
  int64_t p_block; /* output lines of one block; 0: blocks of rows */
  int64_t period;  /* length of the per-channel arrays, see rows.h */
  /* bytes from the start of saved */
  size_t sv_chan, sv_weight, sv_acc, sv_size;
  /* bytes from the start of workspace */
  size_t ws_saved, ws_chan, ws_wf, ws_wk, ws_wt, ws_weight, ws_pack, ws_acc,
    ws_y, ws_g, ws_d, ws_x, ws_back, ws_back_size, ws_wide, ws_thread, ws_size;
  /* bytes from the start of a thread's part */
  size_t th_col, th_blk, th_tmp, th_sum, th_dw, th_dwi, th_wf, th_ring,
    th_dring, th_tags, th_size;
};

struct qk_conv {
  const char *who; /* "conv2d", for messages; static */
  bool flat;       /* tensors are (N,...,C) and (N,...,K): linear */

  int64_t k; /* output channels */
  int r, s;  /* window */
  int stride_h, stride_w;
  int pad_top, pad_left, pad_bottom, pad_right;
  int dil_h, dil_w;
  int groups;
  bool bias;
  float init_std; /* of the weight of a flat one */

  /* absorbed */
  bool bn, clamp;
  float eps, momentum;
  float lo, hi; /* -INFINITY, INFINITY without clamp */

  /* strategies to use, by name; NULL: the best (tests ask for others) */
  const char *use_forward, *use_backward;

  /* known after infer */
  int64_t h, w, c, p, q;

  struct qk_conv_plan plan;
};

/* Zero-bounds defaults: window 1, stride 1, no padding, one group. */
void qk_conv_init (struct qk_conv *cv, const char *who);

/* The slots of qk_layer_class, see there. */
int qk_conv_infer (struct qk_conv *cv, const struct qk_shape *in, int n_in,
                   struct qk_shape *out);
int qk_conv_params (struct qk_conv *cv, struct qk_param_spec *out);
void qk_conv_describe (struct qk_conv *cv, struct qk_layer_traits *out);
int qk_conv_absorb (struct qk_conv *cv, const struct qk_layer_traits *next);
int qk_conv_setup (struct qk_conv *cv, struct qk_layer_setup *s);
int qk_conv_prepare (struct qk_conv *cv, struct qk_layer_io *io);
int qk_conv_forward (struct qk_conv *cv, struct qk_layer_io *io);
int qk_conv_backward (struct qk_conv *cv, struct qk_layer_io *io);
int qk_conv_lower (struct qk_conv *cv, const struct qk_layer_io *io,
                   struct qk_op *op);
/* Kind, window and channels, without what was absorbed. */
void qk_conv_geometry (const struct qk_conv *cv, struct qk_op *op);

int qk_conv_get_weight (struct qk_conv *cv, const struct qk_tensor *param,
                        float *weight, float *bias);
int qk_conv_set_weight (struct qk_conv *cv, const struct qk_tensor *param,
                        const float *weight, const float *bias);

#endif /* QATKIT_COMMON_CONV_H */
