/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cases.h: layers whose instructions are counted. */
#ifndef ARM_CASES_H
#define ARM_CASES_H

#include <stdint.h>
#include <stdlib.h>

struct arm_case {
  const char *name;
  int size, kernel, stride; /* of square images, padded by kernel / 2 */
  int c, k, groups;
};

static const struct arm_case arm_cases[]
  = { { "1x1 64 to 64, 28 x 28", 28, 1, 1, 64, 64, 1 },
      { "1x1 24 to 144, 28 x 28", 28, 1, 1, 24, 144, 1 },
      { "1x1 144 to 24, 28 x 28", 28, 1, 1, 144, 24, 1 },
      { "3x3 64 to 64, 28 x 28", 28, 3, 1, 64, 64, 1 },
      { "3x3 256 to 256, 7 x 7", 7, 3, 1, 256, 256, 1 },
      { "3x3 stride 2, 3 to 32, 112 x 112", 112, 3, 2, 3, 32, 1 },
      { "depthwise 3x3, 64, 28 x 28", 28, 3, 1, 64, 64, 64 },
      { "depthwise 3x3 stride 2, 64, 28 x 28", 28, 3, 2, 64, 64, 64 },
      { "depthwise 5x5, 64, 28 x 28", 28, 5, 1, 64, 64, 64 },
      { "3x3 64 to 64, 8 groups, 28 x 28", 28, 3, 1, 64, 64, 8 },
      { "3x3 64 to 64, 16 groups, 28 x 28", 28, 3, 1, 64, 64, 16 },
      { "linear 512 to 1000", 1, 1, 1, 512, 1000, 1 } };
#define ARM_CASES ((int) (sizeof arm_cases / sizeof *arm_cases))

/* Case number TEXT, or NULL. */
static inline const struct arm_case *
arm_case_of (const char *text)
{
  const int i = atoi (text);

  return i >= 0 && i < ARM_CASES ? &arm_cases[i] : NULL;
}

static inline int64_t
arm_out_size (const struct arm_case *q)
{
  return (q->size + q->kernel / 2 * 2 - q->kernel) / q->stride + 1;
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
