/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* grouped-kernels.h: what grouped.c does with a line of pixels for 16 channels side by
 * side, GROUP of them a group: 4 or 8.
 *
 * A tap's numbers (weights, or sums for their gradients) are GROUP vectors: vector j has
 * for input channel c the one of output j of c's group. */
#ifndef QATKIT_COMMON_GROUPED_KERNELS_H
#define QATKIT_COMMON_GROUPED_KERNELS_H

#include <stdint.h>

enum { GROUPED_LANES = 16, GROUPED_TAPS = 3 };

/* A line of N outputs, STEP floats apart, whose windows begin at pixels -PAD,
 * STRIDE - PAD, … of a line of WIDTH inputs, which are STEP elements apart. */
struct grouped_line {
  const float *d;
  int64_t n, width, step;
  int stride, pad;
};

struct grouped_kernels {
  /* DX, the inputs' gradient, += what comes through the line's three taps W. */
  void (*data) (int group, const struct grouped_line *l, const float *w,
                float *dx);
  /* SUM, of three taps, += products of the line with the inputs X; or, where X is
   * NULL, with byte - ZERO of BYTES. */
  void (*weights) (int group, const struct grouped_line *l, const float *x,
                   const uint8_t *bytes, float zero, float *sum);
};

extern const struct grouped_kernels grouped_kernels__avx512;

#endif /* QATKIT_COMMON_GROUPED_KERNELS_H */
