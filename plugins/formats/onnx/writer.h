/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* writer.h: what the files share that write networks. */
#ifndef ONNX_WRITER_H
#define ONNX_WRITER_H

#include "build.h"

struct writer {
  struct onnx_build b;
  const struct qk_network *net;
  const char **name; /* of each value, as consumers read it */
};

static inline const struct qk_network_value *
value_of (const struct writer *w, int i)
{
  return w->net->value[i];
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

/* The name of the output that VALUE is; NULL if it is none. */
const char *output_name (const struct writer *w, int value);
/* Name for the float result of N, before its grid if it has one. */
const char *raw_name (struct writer *w, const struct qk_network_node *n);
/* RAW is what N computes: put it on its grid, if it has one.  For results that
 * cannot leave the range of their inputs. */
void finish (struct writer *w, const struct qk_network_node *n,
             const char *raw);
/* RAW, clamped to LO..HI, is what node N computes: put it on its grid. */
void finish_clamped (struct writer *w, const struct qk_network_node *n,
                     const char *raw, int lo, int hi);
/* Integers as the reals they stand for, a scale for each of K along AXIS: a
 * constant with its DQ. */
const char *put_dequantized (struct writer *w, const char *constant,
                             const char *name, const float *scale, int64_t k,
                             int axis, enum qk_dtype dtype);
/* Append OUT = OP (IN); returns OUT. */
const char *node1 (struct writer *w, const char *op, const char *out,
                   const char *in);

/* ---- weighted.c: weights in an order of their own ----------------------- */

/* A convolution of each row of channels by itself, one channel to one, in a
 * tensor that is no image. */
int onnx_put_scaled (struct writer *w, const struct qk_network_node *n);
int onnx_put_transposed (struct writer *w, const struct qk_network_node *n);

/* ---- move.c: nodes that move elements ---------------------------------- */

int onnx_put_reshape (struct writer *w, const struct qk_network_node *n);
int onnx_put_transpose (struct writer *w, const struct qk_network_node *n);
int onnx_put_gather (struct writer *w, const struct qk_network_node *n);

/* IN, of shape S, with axes of size 1 after the batch so that there are
 * NDIM; for node N, whose names begin with PREFIX. */
const char *onnx_put_axes (struct writer *w, const struct qk_network_node *n,
                           const char *in, const char *prefix,
                           const struct qk_shape *s, int ndim);

#endif /* ONNX_WRITER_H */
