/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* int8op.h: checks and geometry of int8 operations, shared by backends. */
#ifndef INT8OP_H
#define INT8OP_H

#include <qatkit/backend.h>

/* An operation's sizes without the batch, as plain numbers.  A linear layer
 * has the rows of a sample as w and q; elementwise operations and reshape use
 * h = w = p = q = 1 and all elements of a sample as c and k. */
struct int8op_geometry {
  int64_t batch;   /* the largest */
  int64_t h, w, c; /* input 0 */
  int64_t p, q, k; /* output */
};

/* qk_op_check, and fill *G.  -ENOTSUP for QK_OP_LINEAR_DYNAMIC, which the
 * reference backend alone runs, and for values of more than 8 bits. */
int int8op_check (const struct qk_op *op, const struct qk_shape *in,
                  const struct qk_shape *out, struct int8op_geometry *g);
/* The same with these. */
int int8op_check_all (const struct qk_op *op, const struct qk_shape *in,
                      const struct qk_shape *out, struct int8op_geometry *g);

/* Give the linear layer OP the window of the convolution it is: one pixel, which
 * is a row. */
void int8op_as_conv2d (struct qk_op *op);

/* Elements of X, an input of OP, that lie side by side in the output: those
 * of the last axis, and for concat those from its axis on. */
static inline int64_t
int8op_row (const struct qk_op *op, const struct qk_shape *x)
{
  int64_t n = x->dims[x->ndim - 1];

  if (op->kind == QK_OP_CONCAT && op->axis > 0)
    for (int d = op->axis; d < x->ndim - 1; d++)
      n *= x->dims[d];
  return n;
}

/* Of KERNEL window positions spaced DILATION from START on, those in
 * 0 .. SIZE-1: indices *first .. *last-1. */
static inline void
int8op_taps (int64_t start, int kernel, int dilation, int64_t size, int *first,
             int *last)
{
  int64_t f = start < 0 ? (-start + dilation - 1) / dilation : 0;
  int64_t l = start < size ? (size - start + dilation - 1) / dilation : 0;

  l = l < kernel ? l : kernel;
  f = f < l ? f : l;
  *first = (int) f;
  *last = (int) l;
}

/* How a matrix product is divided among threads: PIXELS parts of its rows,
 * each of CHANNELS parts of its channel blocks. */
struct int8op_parts {
  int pixels, channels;
};

/* M rows by BLOCKS blocks of channels on at most THREADS threads, at least
 * LEAST rows each if rows are divided at all.  The same part of a sample goes
 * to the same thread in every layer, so that its bytes are in that core's
 * cache; but WEIGHT bytes that are large beside the rows are better read by
 * one thread than by each. */
struct int8op_parts int8op_divide (int64_t m, int blocks, int64_t weight,
                                   int threads, int least);

/* Where part I of N equal parts of COUNT begins, at a multiple of STEP. */
static inline int64_t
int8op_begin (int64_t count, int64_t step, int i, int n)
{
  return i == n ? count : count * i / n / step * step;
}

#endif /* INT8OP_H */
