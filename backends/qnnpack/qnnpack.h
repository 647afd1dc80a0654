/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qnnpack.h: what the files of the qnnpack backend share. */
#ifndef QNNPACK_H
#define QNNPACK_H

#include "int8op/int8op.h"
#include "kernels.h"
#include "phases/phases.h"
#include "matmul/matmul.h"
#include "normop/normop.h"

struct qnnpack {
  int threads;
  struct q8_kernels kernels;
};

/* A tap of a window: bytes from its first pixel, and to its place in a row of a
 * panel from the row's first cell. */
struct q8_tap {
  int64_t from, to;
};

/* How windows come to panels. */
enum q8_way {
  Q8_DIRECTLY,  /* they lie in the input as in the output */
  Q8_BY_TAPS,   /* each of whole cells, or within one */
  Q8_BY_RUNS,   /* by rows of the window, which lie in one piece */
  Q8_BY_WINDOWS /* otherwise */
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
  struct q8_gemm gemm;
  struct q8_gemm_block *block;
  int blocks;
  int64_t kc, cells; /* bytes that a pixel sees, and in cells of 16 */
  struct q8_tap *tap;
  enum q8_way way;
  int64_t rows;  /* output pixels in a piece of work */
  size_t panel;  /* bytes of those of a group */
  size_t panels; /* scratch a thread has for those of all */

  struct q8_dwconv dwconv;
  struct q8_dwconv_block *dw; /* depthwise: BLOCKS of them */
  size_t pointers;            /* scratch a thread has for those to pixels */
  struct pointwise *point;    /* operations without weights */
  struct phased *phased;      /* conv_transpose2d */
  struct normop *norm;        /* softmax and normalisations */
  struct matmul matmul;       /* products of two activations */
};

/* Pack the weights of all groups into k->block.  -ENOMEM. */
int qnnpack_pack (struct qnnpack_kernel *k);
/* Pack depthwise weights into k->dw.  -ENOMEM. */
int qnnpack_pack_dwconv (struct qnnpack_kernel *k);

/* One input channel an output channel, rows of reasonable width. */
bool qnnpack_is_depthwise (const struct qnnpack_kernel *k);

/* Products of two activations: set k->run. */
void qnnpack_prepare_matmul (struct qnnpack_kernel *k,
                             const struct qk_shape *in, size_t *scratch);

/* With kc and gemm set: what panels need.  -ENOMEM. */
int qnnpack_plan_panels (struct qnnpack_kernel *k);
/* The windows of ROWS output pixels of M from FIRST on, of all groups, to the
 * panels at TO, which have k->panels bytes. */
void qnnpack_fill_panels (const struct qnnpack_kernel *k, const uint8_t *in,
                          int64_t first, int64_t rows, int64_t m, uint8_t *to);

/* Choose and pack, for at most SAMPLES; set k->run.  Negative errno. */
int qnnpack_prepare_weighted (struct qnnpack_kernel *k, int64_t samples,
                              size_t *scratch);
int qnnpack_prepare_depthwise (struct qnnpack_kernel *k, size_t *scratch);

#endif /* QNNPACK_H */
