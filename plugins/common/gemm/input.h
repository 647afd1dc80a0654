/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* input.h: the input of a convolution whose gradients are wanted. */
#ifndef QATKIT_COMMON_GEMM_INPUT_H
#define QATKIT_COMMON_GEMM_INPUT_H

#include <stdint.h>

/* (N,H,W,C): floats, or else bytes that stand for (float) byte - zero, where zero is
 * itself the value of a byte. */
struct gradient_input {
  const float *x;
  const uint8_t *bytes;
  float zero;
};

#endif /* QATKIT_COMMON_GEMM_INPUT_H */
