/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* model.h: a TFLite model: tensors, operators, and the file that they become.
 * Names and numbers are those of TFLite's schema, version 3. */
#ifndef TFLITE_MODEL_H
#define TFLITE_MODEL_H

#include <qatkit/format.h>

#include "flat.h"

/* Of tensors. */
enum tfl_type { TFL_FLOAT32 = 0, TFL_INT32 = 2, TFL_UINT8 = 3, TFL_INT8 = 9 };

enum tfl_operator {
  TFL_ADD = 0,
  TFL_AVERAGE_POOL_2D = 1,
  TFL_CONCATENATION = 2,
  TFL_CONV_2D = 3,
  TFL_DEPTHWISE_CONV_2D = 4,
  TFL_DEQUANTIZE = 6,
  TFL_FULLY_CONNECTED = 9,
  TFL_LOGISTIC = 14,
  TFL_MAX_POOL_2D = 17,
  TFL_MUL = 18,
  TFL_RESHAPE = 22,
  TFL_RESIZE_BILINEAR = 23,
  TFL_SOFTMAX = 25,
  TFL_TANH = 28,
  TFL_PAD = 34,
  TFL_GATHER = 36,
  TFL_TRANSPOSE = 39,
  TFL_MEAN = 40,
  TFL_SUB = 41,
  TFL_EXP = 47,
  TFL_LOG_SOFTMAX = 50,
  TFL_PRELU = 54,
  TFL_MAXIMUM = 55,
  TFL_MINIMUM = 57,
  TFL_PADV2 = 60,
  TFL_REDUCE_MAX = 82,
  TFL_REDUCE_MIN = 89,
  TFL_RESIZE_NEAREST_NEIGHBOR = 97,
  TFL_LEAKY_RELU = 98,
  TFL_ABS = 101,
  TFL_ELU = 111,
  TFL_QUANTIZE = 114,
  TFL_HARD_SWISH = 117,
  TFL_BATCH_MATMUL = 126,
  TFL_GELU = 150
};

/* Which table the options of an operator are. */
enum tfl_options_type {
  TFL_NO_OPTIONS = 0,
  TFL_CONV_OPTIONS = 1,
  TFL_DEPTHWISE_OPTIONS = 2,
  TFL_POOL_OPTIONS = 5,
  TFL_FULLY_CONNECTED_OPTIONS = 8,
  TFL_SOFTMAX_OPTIONS = 9,
  TFL_CONCATENATION_OPTIONS = 10,
  TFL_ADD_OPTIONS = 11,
  TFL_RESIZE_BILINEAR_OPTIONS = 15,
  TFL_MUL_OPTIONS = 21,
  TFL_GATHER_OPTIONS = 23,
  TFL_REDUCER_OPTIONS = 27,
  TFL_SUB_OPTIONS = 28,
  TFL_RESIZE_NEAREST_OPTIONS = 74,
  TFL_LEAKY_RELU_OPTIONS = 75,
  TFL_BATCH_MATMUL_OPTIONS = 101,
  TFL_GELU_OPTIONS = 116
};

enum tfl_padding { TFL_SAME = 0, TFL_VALID = 1 };
enum tfl_activation { TFL_NONE = 0, TFL_RELU = 1, TFL_RELU6 = 3 };

#define TFL_MAX_DIMS 8

/* A tensor; 0 bytes of data: not a constant.  The data of all but floats are
 * integers. */
struct tfl_tensor {
  const char *name;
  enum tfl_type type;
  int ndim;
  int32_t dims[TFL_MAX_DIMS];
  int scales; /* 0: real numbers, or integers that are no quantized ones */
  const float *scale;
  int zero_point; /* of all scales */
  int axis;       /* that the scales are along, where there are several */
  const void *data;
  size_t elements;
};

/* Fields of an options table, by their numbers. */
struct tfl_options {
  enum tfl_options_type type;
  struct flat_field field[FLAT_MAX_FIELDS];
};

#define TFL_MAX_INPUTS QK_OP_MAX_INPUTS

struct tfl_node {
  enum tfl_operator op;
  int version; /* of the operator, the least that computes this */
  int n_in;
  int in[TFL_MAX_INPUTS];
  int out;
  struct tfl_options options;
};

/* An input or output of the whole. */
struct tfl_end {
  const char *name;
  int tensor;
};

/* All memory belongs to it.  The first failure sticks: functions return 0 or
 * NULL from then on, which all of them accept. */
struct tfl_model {
  int error;
  struct block *blocks;
  struct tfl_tensor *tensor;
  int n_tensors;
  struct tfl_node *node;
  int n_nodes;
};

void tfl_clear (struct tfl_model *m);

/* Zeroed memory; NULL after a failure. */
void *tfl_alloc (struct tfl_model *m, size_t size);
const char *tfl_name (struct tfl_model *m, const char *fmt, ...)
  QK_PRINTF (2, 3);

/* Append a copy of T, whose arrays have to live as long as the model; returns
 * its number. */
int tfl_add_tensor (struct tfl_model *m, const struct tfl_tensor *t);
/* A vector of N numbers, copied, which is no quantized one. */
int tfl_add_ints (struct tfl_model *m, const char *name, const int32_t *x,
                  int n);
/* Append an operator; OPTIONS NULL: it has none. */
void tfl_add_node (struct tfl_model *m, enum tfl_operator op, int version,
                   int n_in, const int *in, int out,
                   const struct tfl_options *options);

static inline struct flat_field
tfl_byte (int value)
{
  return (struct flat_field){ 1, false, (uint32_t) value };
}

static inline struct flat_field
tfl_int (int value)
{
  return (struct flat_field){ 4, false, (uint32_t) value };
}

static inline struct flat_field
tfl_float (float value)
{
  struct flat_field f = { 4, false, 0 };

  memcpy (&f.value, &value, sizeof f.value);
  return f;
}

/* What the file has beside the network. */
struct tfl_about {
  int n_inputs, n_outputs;
  const struct tfl_end *input, *output;
  const char *description;
  int n_meta;
  const struct qk_format_meta *meta;
};

/* Write the file through FD. */
int tfl_write (struct tfl_model *m, const struct tfl_about *about, int fd);

#endif /* TFLITE_MODEL_H */
