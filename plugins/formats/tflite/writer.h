/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* writer.h: what the files share that write networks. */
#ifndef TFLITE_WRITER_H
#define TFLITE_WRITER_H

#include <qatkit/numeric.h>

#include "model.h"

/* Our integers are 0 to 255, TFLite's -128 to 127. */
#define TFL_SHIFT 128

struct writer {
  struct tfl_model m;
  const struct qk_network *net;
  int *tensor; /* of each value */
};

static inline const struct qk_network_value *
value_of (const struct writer *w, int i)
{
  return w->net->value[i];
}

/* Input J of N: its value, and its tensor. */
static inline const struct qk_network_value *
input_of (const struct writer *w, const struct qk_network_node *n, int j)
{
  return value_of (w, n->in[j]);
}

static inline int
tensor_of (const struct writer *w, const struct qk_network_node *n, int j)
{
  return w->tensor[n->in[j]];
}

/* The grid of a tensor as our integers have it. */
struct grid {
  float scale; /* 0: real numbers */
  int zero_point;
};

static inline struct grid
grid_of (const struct writer *w, int value)
{
  const struct qk_qparams *q = &value_of (w, value)->q;

  return (struct grid){ q->scale, q->zero_point };
}

/* ---- tensors.c ---------------------------------------------------------- */

/* -ENOTSUP, naming N and its operator; WHY may be NULL. */
int tflite_refuse (const struct qk_network_node *n, const char *why);

/* Tensors of shape S: of int8 on grid Q, or real numbers. */
int put_tensor (struct writer *w, const char *name, const struct qk_shape *s,
                struct grid q);
/* The same for a part of node N, called after it and WHAT. */
int put_part (struct writer *w, const struct qk_network_node *n,
              const char *what, const struct qk_shape *s, struct grid q);
/* A constant of int8: COUNT elements, copied, along the last of NDIM axes. */
int put_int8 (struct writer *w, const char *name, int ndim, const int8_t *x,
              int count, struct grid q);
int put_ints (struct writer *w, const struct qk_network_node *n,
              const char *what, const int32_t *x, int count);
/* Where N's value goes: one for its result, and for those that read it. */
int put_value (struct writer *w, const struct qk_network_node *n);

/* What an operator of one input and no options gives. */
int put_unary (struct writer *w, enum tfl_operator op, int version, int in,
               int out);
/* IN on the grid Q, as a part WHAT of N, of shape S; IN where it is there. */
int put_regrid (struct writer *w, const struct qk_network_node *n,
                const char *what, int in, const struct qk_shape *s,
                struct grid from, struct grid to);
/* IN with the axes of S. */
int put_reshape (struct writer *w, const struct qk_network_node *n,
                 const char *what, int in, const struct qk_shape *s,
                 struct grid q);
/* The same into the tensor OUT. */
void put_reshape_to (struct writer *w, int in, const struct qk_shape *s,
                     int out);

/* (N,…,C) as (N,1,M,C), an image of one row. */
struct qk_shape row_shape (const struct qk_shape *s);

/* Where an operator of node N has to write, and the activation that it has to
 * have: all of the node's bounds, or what TFLite has no activation for follows
 * with finish_result. */
struct result {
  int tensor;
  enum tfl_activation activation;
  bool clamped; /* by what follows */
};

/* IN, of shape S and on grid Q, within LO..HI, which are not 0..255, as OUT;
 * NAME is what it is called by. */
int put_bounded (struct writer *w, const char *name, int in,
                 const struct qk_shape *s, struct grid q, int lo, int hi,
                 int out);
/* FUSED: the operator has activations. */
struct result put_result (struct writer *w, const struct qk_network_node *n,
                          bool fused);
/* The value of N; 0. */
int finish_result (struct writer *w, const struct qk_network_node *n,
                   const struct result *r);
/* An operator of one input and no options, IN, as all of N. */
int put_simple (struct writer *w, const struct qk_network_node *n,
                enum tfl_operator op, int version, int in);

/* ---- a function each, which writes a node: 0, or a negative errno value with
 * a sentence -------------------------------------------------------------- */

/* weighted.c */
int tflite_put_weighted (struct writer *w, const struct qk_network_node *n);
/* OUT = A IN + B, both of shape S, for N: a convolution of each channel by
 * itself. */
int tflite_put_affine (struct writer *w, const struct qk_network_node *n,
                       float a, float b);

/* window.c */
int tflite_put_pool (struct writer *w, const struct qk_network_node *n);
/* The mean of all pixels of an image, with axes for them or without: a pooling
 * operator, which divides and rounds once.  Kernels for MEAN multiply by a number
 * of 31 bits and round twice, or cut off. */
int tflite_put_whole (struct writer *w, const struct qk_network_node *n);

/* A window of node N as TFLite has it: SAME or VALID, and what the input is
 * padded with before. */
struct window {
  enum tfl_padding padding;
  int32_t before[2], after[2]; /* rows, columns */
};
void tflite_window (const struct writer *w, const struct qk_network_node *n,
                    struct window *out);
/* The input IN of N, padded as OUT says with FILL, one of its integers. */
int tflite_put_padded (struct writer *w, const struct qk_network_node *n,
                       int in, const struct window *window, int fill);
/* IN, on the grid Q, with BEFORE and AFTER elements on each axis of S, the
 * batch included, to be a tensor OUT of its own. */
void tflite_put_pad (struct writer *w, const struct qk_network_node *n, int in,
                     int ndim, const int32_t *before, const int32_t *after,
                     struct grid q, int fill, int out);

/* each.c */
int tflite_put_binary (struct writer *w, const struct qk_network_node *n);
int tflite_put_concat (struct writer *w, const struct qk_network_node *n);
int tflite_put_prelu (struct writer *w, const struct qk_network_node *n);
int tflite_put_softmax (struct writer *w, const struct qk_network_node *n);
int tflite_put_matmul (struct writer *w, const struct qk_network_node *n);
/* functions.c */
int tflite_put_function (struct writer *w, const struct qk_network_node *n);

/* move.c */
int tflite_put_reshape (struct writer *w, const struct qk_network_node *n);
int tflite_put_transpose (struct writer *w, const struct qk_network_node *n);
int tflite_put_gather (struct writer *w, const struct qk_network_node *n);
int tflite_put_reduce (struct writer *w, const struct qk_network_node *n);
/* resize.c */
int tflite_put_resize (struct writer *w, const struct qk_network_node *n);
/* Whether N moves elements as one of TFLite's ways to resize by the nearest
 * element does; then it is written. */
bool tflite_put_nearest (struct writer *w, const struct qk_network_node *n);

/* ---- write.c ------------------------------------------------------------- */

int tflite_write_network (const struct qk_config *cfg, int fd,
                          const struct qk_network *net);

#endif /* TFLITE_WRITER_H */
