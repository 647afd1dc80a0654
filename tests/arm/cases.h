/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cases.h: layers whose instructions are counted. */
#ifndef ARM_CASES_H
#define ARM_CASES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* What a layer computes. */
enum arm_kind {
  ARM_CONV, /* or linear, where the image is one pixel */
  ARM_DECONV,
  ARM_ADD,
  ARM_MUL,
  ARM_SCALE, /* mul by one number for each channel */
  ARM_MAXPOOL,
  ARM_AVGPOOL,
  ARM_GLOBAL, /* average pooling of the whole image */
  ARM_MEAN,   /* the same as a reduction */
  ARM_SIGMOID,
  ARM_CLAMP,
  ARM_CONCAT, /* of two on one grid */
  ARM_QUANTIZE,
  ARM_DEQUANTIZE,
  ARM_RESIZE,  /* bilinear, to twice the size */
  ARM_SHUFFLE, /* of channels in groups */
  ARM_SOFTMAX
};

struct arm_case {
  const char *name;
  enum arm_kind kind;
  int size, kernel, stride; /* of square images; padded as arm_pad says */
  int c, k, groups;
};

static const struct arm_case arm_cases[] = {
  { "1x1 64 to 64, 28 x 28", ARM_CONV, 28, 1, 1, 64, 64, 1 },
  { "1x1 24 to 144, 28 x 28", ARM_CONV, 28, 1, 1, 24, 144, 1 },
  { "1x1 144 to 24, 28 x 28", ARM_CONV, 28, 1, 1, 144, 24, 1 },
  { "3x3 64 to 64, 28 x 28", ARM_CONV, 28, 3, 1, 64, 64, 1 },
  { "3x3 256 to 256, 7 x 7", ARM_CONV, 7, 3, 1, 256, 256, 1 },
  { "3x3 stride 2, 3 to 32, 112 x 112", ARM_CONV, 112, 3, 2, 3, 32, 1 },
  { "depthwise 3x3, 64, 28 x 28", ARM_CONV, 28, 3, 1, 64, 64, 64 },
  { "depthwise 3x3 stride 2, 64, 28 x 28", ARM_CONV, 28, 3, 2, 64, 64, 64 },
  { "depthwise 5x5, 64, 28 x 28", ARM_CONV, 28, 5, 1, 64, 64, 64 },
  { "3x3 64 to 64, 8 groups, 28 x 28", ARM_CONV, 28, 3, 1, 64, 64, 8 },
  { "3x3 64 to 64, 16 groups, 28 x 28", ARM_CONV, 28, 3, 1, 64, 64, 16 },
  { "linear 512 to 1000", ARM_CONV, 1, 1, 1, 512, 1000, 1 },
  { "transposed 3x3 stride 2, 64 to 64, 14 x 14", ARM_DECONV, 14, 3, 2, 64, 64,
    1 },
  { "add, 64, 28 x 28", ARM_ADD, 28, 1, 1, 64, 64, 1 },
  { "mul, 64, 28 x 28", ARM_MUL, 28, 1, 1, 64, 64, 1 },
  { "mul by channel, 64, 28 x 28", ARM_SCALE, 28, 1, 1, 64, 64, 1 },
  { "max pooling 3x3 stride 2, 64, 56 x 56", ARM_MAXPOOL, 56, 3, 2, 64, 64,
    1 },
  { "max pooling 2x2 stride 2, 64, 56 x 56", ARM_MAXPOOL, 56, 2, 2, 64, 64,
    1 },
  { "max pooling 3x3 stride 1, 64, 28 x 28", ARM_MAXPOOL, 28, 3, 1, 64, 64,
    1 },
  { "max pooling 3x3 stride 2, 24, 56 x 56", ARM_MAXPOOL, 56, 3, 2, 24, 24,
    1 },
  { "max pooling 5x5 stride 1, 64, 28 x 28", ARM_MAXPOOL, 28, 5, 1, 64, 64,
    1 },
  { "average pooling 3x3, 64, 28 x 28", ARM_AVGPOOL, 28, 3, 1, 64, 64, 1 },
  { "average pooling 2x2 stride 2, 64, 28 x 28", ARM_AVGPOOL, 28, 2, 2, 64, 64,
    1 },
  { "global average pooling, 512, 7 x 7", ARM_GLOBAL, 7, 7, 1, 512, 512, 1 },
  { "mean of height and width, 512, 7 x 7", ARM_MEAN, 7, 7, 1, 512, 512, 1 },
  { "sigmoid, 64, 28 x 28", ARM_SIGMOID, 28, 1, 1, 64, 64, 1 },
  { "clamp, 64, 28 x 28", ARM_CLAMP, 28, 1, 1, 64, 64, 1 },
  { "concat, 2 times 64, 28 x 28", ARM_CONCAT, 28, 1, 1, 64, 128, 1 },
  { "quantize, 3, 112 x 112", ARM_QUANTIZE, 112, 1, 1, 3, 3, 1 },
  { "dequantize, 64, 28 x 28", ARM_DEQUANTIZE, 28, 1, 1, 64, 64, 1 },
  { "resize, 64, 14 x 14 to 28 x 28", ARM_RESIZE, 14, 1, 1, 64, 64, 1 },
  { "shuffle, 4 times 32, 28 x 28", ARM_SHUFFLE, 28, 1, 1, 128, 128, 4 },
  { "softmax, 1000", ARM_SOFTMAX, 1, 1, 1, 1000, 1000, 1 }
};
#define ARM_CASES ((int) (sizeof arm_cases / sizeof *arm_cases))

/* Case number TEXT, or NULL. */
static inline const struct arm_case *
arm_case_of (const char *text)
{
  const int i = atoi (text);

  return i >= 0 && i < ARM_CASES ? &arm_cases[i] : NULL;
}

static inline int
arm_pad (const struct arm_case *q)
{
  const bool whole = q->kind == ARM_GLOBAL || q->kind == ARM_MEAN;

  return whole || q->kernel % 2 == 0 ? 0 : q->kernel / 2;
}

static inline int64_t
arm_out_size (const struct arm_case *q)
{
  if (q->kind == ARM_DECONV)
    return q->size * q->stride;
  if (q->kind == ARM_RESIZE)
    return 2 * q->size;
  return (q->size + 2 * arm_pad (q) - q->kernel) / q->stride + 1;
}

static inline int64_t
arm_inputs (const struct arm_case *q)
{
  return (int64_t) q->size * q->size * q->c;
}

static inline int64_t
arm_outputs (const struct arm_case *q)
{
  return arm_out_size (q) * arm_out_size (q) * q->k;
}

static inline int64_t
arm_weights (const struct arm_case *q)
{
  return (int64_t) q->k * q->kernel * q->kernel * (q->c / q->groups);
}

/* Weights from -127 to 127: XNNPACK takes no others. */
static inline int8_t
arm_weight (int64_t i)
{
  return (int8_t) (i * 13 % 255 - 127);
}

#endif /* ARM_CASES_H */
