/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qnnpack.h: what the files of the qnnpack backend share. */
#ifndef QNNPACK_H
#define QNNPACK_H

#include "int8op/int8op.h"
#include "kernels.h"
#include "phases/phases.h"

struct qnnpack {
  int threads;
  struct q8_kernels kernels;
};

/* One prepared operation. */
struct qnnpack_kernel {
  struct qk_op op; /* its arrays are the model's */
  struct int8op_geometry g;
  int threads;
  struct q8_kernels kernels;
  void (*run) (const struct qnnpack_kernel *k, int64_t n,
               const void *const *in, void *out, void *scratch);

  uint8_t *pad; /* a pixel of zero points */
  void *arrays; /* packed weights, biases, multipliers */

  /* conv2d and linear: for every group, BLOCKS blocks */
  struct q8_gemm_block *block;
  int blocks;
  bool panel;             /* windows are copied, else pointed to */
  int taps;               /* pointers a row has */
  int64_t kc;             /* bytes at each */
  int64_t rows;           /* output pixels in a piece of work */
  size_t pointers, bytes; /* scratch a thread has for both */

  struct q8_dwconv_block *dw; /* depthwise: BLOCKS of them */
  struct pointwise *point;    /* operations without weights */
  struct phased *phased;      /* conv_transpose2d */
};

/* Pack the weights of all groups into k->block.  -ENOMEM. */
int qnnpack_pack (struct qnnpack_kernel *k);
/* Pack depthwise weights into k->dw.  -ENOMEM. */
int qnnpack_pack_dwconv (struct qnnpack_kernel *k);

/* One input channel an output channel, rows of reasonable width. */
bool qnnpack_is_depthwise (const struct qnnpack_kernel *k);

/* Choose and pack; set k->run.  Negative errno. */
int qnnpack_prepare_weighted (struct qnnpack_kernel *k, size_t *scratch);
int qnnpack_prepare_depthwise (struct qnnpack_kernel *k, size_t *scratch);

#endif /* QNNPACK_H */
