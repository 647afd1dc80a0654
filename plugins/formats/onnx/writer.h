/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* writer.h: what the files share that write networks. */
#ifndef ONNX_WRITER_H
#define ONNX_WRITER_H

#include "build.h"

struct writer {
  struct onnx_build b;
  const struct qk_network *net;
  const char **name; /* of each value, as consumers read it */
  bool integers;     /* are its inputs, at last */
};

static inline const struct qk_network_value *
value_of (const struct writer *w, int i)
{
  return w->net->value[i];
}

static inline bool
on_grid (const struct writer *w, int value)
{
  return value_of (w, value)->q.scale > 0;
}

/* The axis of ONNX's tensor that axis D of ours of NDIM is: (N,H,W,C) is
 * (N,C,H,W) there, other ranks are as ours. */
static inline int
onnx_axis (int ndim, int d)
{
  static const int images[] = { 0, 2, 3, 1 };

  return ndim == 4 ? images[d] : d;
}

/* ---- write.c ----------------------------------------------------------- */

/* -ENOTSUP, naming N and its layer. */
int onnx_unknown (const struct qk_network_node *n);

/* ---- grids.c ----------------------------------------------------------- */

/* Append OUT = OP (IN); returns OUT. */
const char *node1 (struct writer *w, const char *op, const char *out,
                   const char *in);
/* The name of the output that VALUE is; NULL if it is none. */
const char *output_name (const struct writer *w, int value);
/* Name for the float result of N, before its grid if it has one. */
const char *raw_name (struct writer *w, const struct qk_network_node *n);
/* The zero point of Q as a constant, PREFIX/zero_point, of the type of its
 * integers. */
const char *put_zero_point (struct writer *w, const char *prefix,
                            const struct qk_qparams *q);
/* Quantize RAW to grid Q, clamp to LO..HI and dequantize it to OUT, which is
 * returned.  PREFIX makes the names in between. */
const char *put_grid (struct writer *w, const char *raw, const char *prefix,
                      const struct qk_qparams *q, int lo, int hi,
                      const char *out);
/* The same of the input RAW of the network, within the bounds of Q.  Here real
 * numbers are multiplied by 1 / scale, which ONNX divides by the scale: that
 * differs for one element of a million, by a step, and so the product is a node
 * of its own and what is quantized has steps of 1. */
const char *put_sample_grid (struct writer *w, const char *raw,
                             const struct qk_qparams *q, const char *out);
/* RAW, which lies on the grid Q but for its scale FROM, with the scale TO. */
const char *put_rescaled (struct writer *w, const char *raw,
                          const char *prefix, const struct qk_qparams *q,
                          float from, float to);
/* OUT: the integers behind NAME once more, read with SCALE.  Returns OUT, or
 * NAME where that is not made by a DequantizeLinear. */
const char *put_reread (struct writer *w, const char *name, const char *out,
                        float scale);
/* RAW is what N computes: put it on its grid, if it has one.  For results that
 * cannot leave the range of their inputs. */
void finish (struct writer *w, const struct qk_network_node *n,
             const char *raw);
/* RAW, clamped to LO..HI, is what node N computes: put it on its grid. */
void finish_clamped (struct writer *w, const struct qk_network_node *n,
                     const char *raw, int lo, int hi);
/* The same with the bounds of N's operator, or as it is in float.  0. */
int finish_node (struct writer *w, const struct qk_network_node *n,
                 const char *raw);
/* The same by a product with 1 / scale, as put_sample_grid does it; N is
 * quantized. */
int finish_in_steps (struct writer *w, const struct qk_network_node *n,
                     const char *raw);
/* Integers as the reals they stand for, a scale for each of K along AXIS: a
 * constant with its DQ. */
const char *put_dequantized (struct writer *w, const char *constant,
                             const char *name, const float *scale, int64_t k,
                             int axis, enum qk_dtype dtype);
/* A mean of integers is computed on a grid of scale 1: sums are exact there,
 * and halves, which means of 4 or 196 elements often are, stay halves.  They
 * are rounded by a node of their own, to even: ONNX Runtime's integer kernel
 * for a mean between two grids rounds them another way.  What N reads, for
 * that; and the mean RAW of them, back on the grid that N reads. */
const char *put_integers (struct writer *w, const struct qk_network_node *n);
const char *put_rounded (struct writer *w, const struct qk_network_node *n,
                         const char *raw);

/* ---- nodes, a function each: 0, or -ENOTSUP naming the node ------------- */

/* weights.c: convolutions and linear layers */
int onnx_put_weighted (struct writer *w, const struct qk_network_node *n);
/* A matrix (K,C) as MatMul wants it on its right. */
const char *onnx_put_columns (struct writer *w, const char *name,
                              enum qk_dtype dtype, const int64_t *dims,
                              const void *data);
/* (K,R,S,C), in dims D, to (K,C,R,S), elements of SIZE bytes. */
void onnx_to_oihw (const void *from, void *to, const int64_t *d, size_t size);

/* dynamic.c: linear layers that choose the grid of their input */
int onnx_put_dynamic (struct writer *w, const struct qk_network_node *n);

/* pools.c */
int onnx_put_pool (struct writer *w, const struct qk_network_node *n);
/* The attributes of a window, but for its dilation. */
void onnx_put_window (struct writer *w, Onnx__NodeProto *o,
                      const struct qk_network_node *n);
void onnx_put_dilation (struct writer *w, Onnx__NodeProto *o,
                        const struct qk_op *op);

/* each.c: functions of elements */
int onnx_put_joined (struct writer *w, const struct qk_network_node *n);
int onnx_put_clamp (struct writer *w, const struct qk_network_node *n);
int onnx_put_batchnorm (struct writer *w, const struct qk_network_node *n);
int onnx_put_table (struct writer *w, const struct qk_network_node *n);
int onnx_put_prelu (struct writer *w, const struct qk_network_node *n);

/* norms.c: softmax, normalisations and products of activations */
int onnx_put_norms (struct writer *w, const struct qk_network_node *n);

/* ---- weighted.c: weights in an order of their own ----------------------- */

/* A convolution of each row of channels by itself, one channel to one, in a
 * tensor that is no image. */
int onnx_put_scaled (struct writer *w, const struct qk_network_node *n);
int onnx_put_transposed (struct writer *w, const struct qk_network_node *n);

/* ---- move.c: nodes that move elements ---------------------------------- */

int onnx_put_reshape (struct writer *w, const struct qk_network_node *n);
int onnx_put_transpose (struct writer *w, const struct qk_network_node *n);
int onnx_put_resize (struct writer *w, const struct qk_network_node *n);
int onnx_put_gather (struct writer *w, const struct qk_network_node *n);

/* The sizes of a tensor of shape S with as many samples as LIKE has, as a
 * value PREFIX of node N. */
const char *onnx_put_sizes (struct writer *w, const struct qk_network_node *n,
                            const char *like, const char *prefix,
                            const struct qk_shape *s);
/* OUT: IN, of shape S, with its axes in the order of ours; and back.  Either
 * returns IN where S has other than four axes. */
const char *onnx_put_ours (struct writer *w, const char *in,
                           const struct qk_shape *s, const char *out);
const char *onnx_put_image (struct writer *w, const char *in,
                            const struct qk_shape *s, const char *out);

/* IN, of shape S, with axes of size 1 after the batch so that there are
 * NDIM; for node N, whose names begin with PREFIX. */
const char *onnx_put_axes (struct writer *w, const struct qk_network_node *n,
                           const char *in, const char *prefix,
                           const struct qk_shape *s, int ndim);

/* ---- reduce.c ---------------------------------------------------------- */

int onnx_put_reduce (struct writer *w, const struct qk_network_node *n);

#endif /* ONNX_WRITER_H */
