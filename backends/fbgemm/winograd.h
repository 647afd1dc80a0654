/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd.h: what running transformed windows and packing their weights
 * share. */
#ifndef FBGEMM_WINOGRAD_H
#define FBGEMM_WINOGRAD_H

#include "fbgemm.h"

struct fbgemm_winograd {
  int64_t across, down;       /* tiles of a sample */
  int64_t steps;              /* pairs of input channels */
  int64_t lda;                /* numbers from a tile's inputs to the next's */
  int64_t pitch, sums_pitch;  /* from one of the 36 to the next */
  int64_t tiles;              /* of a piece of work */
  size_t input, sums, tables; /* bytes of a thread's scratch */
  int blocks;
  struct qk_winograd_block *block;
  void *arrays;
};

/* Whether all sums of products with C input channels are small enough to be told
 * from their remainder modulo 2^32, see kernels.h. */
bool fbgemm_winograd_is_exact (const struct qk_op *op, int64_t c);

/* Transform and pack the weights into k->winograd.  -ENOMEM. */
int fbgemm_pack_winograd (struct fbgemm_kernel *k);

#endif /* FBGEMM_WINOGRAD_H */
