/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* csource.h: what the parts of the C writer share. */
#ifndef CSOURCE_H
#define CSOURCE_H

#include <qatkit/format.h>
#include <qatkit/numeric.h>

#include "place.h"
#include "text.h"

/* ---- kernels.c: the functions that what is written may need ------------- */

/* In the order in which they are written. */
enum kernel {
  KERNEL_BASE,
  KERNEL_REAL,
  KERNEL_WIDE,
  KERNEL_LOGARITHM,
  KERNEL_EXPONENTIAL,
  KERNEL_WEIGHTED,
  KERNEL_WEIGHTED_VECTORS,
  KERNEL_WEIGHTED_PAIRS,
  KERNEL_WEIGHTED_HALVES,
  KERNEL_WEIGHTED_WORDS,
  KERNEL_WEIGHTED_PIXELS,
  KERNEL_WEIGHTED_REAL,
  KERNEL_ROWS,
  KERNEL_ROWS_REAL,
  KERNEL_WINDOW,
  KERNEL_COLUMN,
  KERNEL_COLUMN_TRANSPOSED,
  KERNEL_CONV,
  KERNEL_CONV_REAL,
  KERNEL_TRANSPOSED,
  KERNEL_TRANSPOSED_REAL,
  KERNEL_DEPTHWISE,
  KERNEL_DEPTHWISE_ANY,
  KERNEL_DEPTHWISE_3_CHANNELS,
  KERNEL_DEPTHWISE_3,
  KERNEL_TAPS,
  KERNEL_MAXPOOL,
  KERNEL_AVGPOOL,
  KERNEL_TABLE,
  KERNEL_JOINED,
  KERNEL_JOINED_TABLE,
  KERNEL_CLAMP,
  KERNEL_QUANTIZE,
  KERNEL_DEQUANTIZE,
  KERNEL_PRELU,
  KERNEL_PLACE,
  KERNEL_BINARY,
  KERNEL_ADD, /* and the others of enum qk_function */
  KERNEL_REDUCE = KERNEL_ADD + QK_FUNCTIONS,
  KERNEL_MEAN, /* and the others of enum qk_reduction */
  KERNEL_MOVED = KERNEL_MEAN + QK_REDUCTIONS,
  KERNEL_TRANSPOSE,
  KERNEL_RESIZE,
  KERNEL_MATMUL,
  KERNEL_SOFTMAX,
  KERNEL_SOFTMAX_REAL,
  KERNEL_LOG_SOFTMAX,
  KERNEL_LOG_SOFTMAX_REAL,
  KERNEL_NORM,
  KERNEL_LRN,
  KERNELS
};

/* Put those of NEEDED, bit I for kernel I, and what they need into T.
 * INTEGER: without any type of real numbers. */
void csource_kernels (struct text *t, uint64_t needed, bool integer);

/* ---- plan.c: where values lie -------------------------------------------- */

enum where { IN_ARENA, IN_INPUT, IN_OUTPUT, IN_CONSTANT };

/* Of a value.  Values of the same bytes share a place. */
struct spot {
  enum where where;
  int index; /* buffer, input, output, value */
};

struct plan {
  struct spot *spot; /* of each value */
  struct buffer *buffer;
  int n_buffers;
  struct overlap *overlap;
  int n_overlaps;
  int *scratch; /* of each node: a buffer, or -1 */
  int64_t arena;
};

int plan_make (const struct qk_network *net, struct plan *p);
void plan_clear (struct plan *p);
/* Bytes of the arena that step NODE has in use. */
int64_t plan_live (const struct plan *p, int node);
/* Whether NODE is done by its output being where its input is. */
bool plan_nothing_to_do (const struct qk_network *net, const struct plan *p,
                         int node);

/* Bytes of a sample of value V. */
int64_t csource_bytes (const struct qk_network *net, int v);

/* ---- the writer ---------------------------------------------------------- */

struct writer {
  const struct qk_network *net;
  const char *name; /* prefix of all that is seen from outside */
  bool split, integer;
  struct plan plan;
  int layer;         /* at work, from 1 */
  int64_t flash;     /* bytes of arrays of that layer */
  uint64_t needed;   /* kernels */
  struct text data;  /* arrays */
  struct text head;  /* their declarations */
  struct text parts; /* constant structures that refer to them */
  struct text steps; /* a case for each layer */
  int64_t *layer_flash, total_flash, total_macs;
};

static inline const struct qk_network_value *
value_of (const struct writer *w, int i)
{
  return w->net->value[i];
}

/* Elements of a sample of value V. */
static inline int64_t
count_of (const struct writer *w, int v)
{
  return qk_shape_count (&value_of (w, v)->shape);
}

static inline uint32_t
bits_of (float x)
{
  uint32_t bits;

  memcpy (&bits, &x, sizeof bits);
  return bits;
}

/* -ENOTSUP, naming N and its operator; WHY may be NULL. */
int csource_refuse (const struct qk_network_node *n, const char *why);

/* NAME in capital letters, of at most 31. */
const char *csource_upper (const char *name, char text[32]);

/* The expression that gives the address of value V, or of layer N's scratch
 * memory. */
const char *csource_address (const struct writer *w, int v, char text[48]);

/* arrays.c: write an array of the layer at work; its name is
 * NAME_KINDLAYER. */
void array_int8 (struct writer *w, const char *kind, const int8_t *x,
                 int64_t n);
void array_uint8 (struct writer *w, const char *kind, const uint8_t *x,
                  int64_t n);
void array_int32 (struct writer *w, const char *kind, const int32_t *x,
                  int64_t n);
void array_bits (struct writer *w, const char *kind, const uint32_t *x,
                 int64_t n);

/* One function each, which writes the layer of a node: 0, or a negative errno
 * value with a sentence. */
int csource_weighted (struct writer *w, const struct qk_network_node *n);
int csource_pool (struct writer *w, const struct qk_network_node *n);
int csource_each (struct writer *w, const struct qk_network_node *n);
int csource_binary (struct writer *w, const struct qk_network_node *n);
int csource_reduce (struct writer *w, const struct qk_network_node *n);
int csource_move (struct writer *w, const struct qk_network_node *n);
int csource_resize (struct writer *w, const struct qk_network_node *n);
int csource_matmul (struct writer *w, const struct qk_network_node *n);
int csource_softmax (struct writer *w, const struct qk_network_node *n);
int csource_norm (struct writer *w, const struct qk_network_node *n);
int csource_lrn (struct writer *w, const struct qk_network_node *n);

/* Sizes of a window, for conv2d of tensors that are no image, too. */
struct window {
  int64_t h, w, c, p, q, k;
  int r, s, stride_h, stride_w, top, left, dilation_h, dilation_w, groups;
};
struct window csource_window (const struct qk_network *net,
                              const struct qk_network_node *n);
/* Whether its columns lie in the input as they are: one pixel, in fours. */
bool csource_is_rows (const struct window *n);
bool csource_is_depthwise (const struct qk_op *op, const struct window *n);
/* Whether it is one of 3x3 that goes by pairs of pixels. */
bool csource_is_3x3 (const struct window *n);
/* Bytes of a column, and with what fills it up to fours. */
int64_t csource_depth (const struct window *n);

/* ---- axes.c: tensors as sizes and steps ---------------------------------- */

#define AXES_TENSORS 2

/* Axes of a tensor, of which TENSORS others have steps along them. */
struct axes {
  int n, tensors;
  int32_t size[QK_MAX_DIMS];
  int32_t step[AXES_TENSORS][QK_MAX_DIMS];
};

/* Add one after the others; those that one step does for become one. */
void axes_add (struct axes *a, int64_t size, int64_t step0, int64_t step1);
/* At least one axis, of size 1. */
void axes_finish (struct axes *a);
int64_t axes_count (const struct axes *a);
/* Write sizes and steps as arrays; KIND_step0 and KIND_step1 are called
 * KINDa and KINDb. */
void axes_arrays (struct writer *w, const char *kind, const struct axes *a);

/* ---- write.c -------------------------------------------------------------- */

int csource_write (const struct qk_config *cfg, const struct qk_network *net,
                   qk_format_put *put, void *cookie);
int csource_facts (const struct qk_config *cfg, const struct qk_network *net,
                   qk_format_fact *say, void *cookie);

#endif /* CSOURCE_H */
