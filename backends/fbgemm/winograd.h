/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* winograd.h: what running transformed windows and packing their weights
 * share. */
#ifndef FBGEMM_WINOGRAD_H
#define FBGEMM_WINOGRAD_H

#include "fbgemm.h"

struct fbgemm_winograd {
  int64_t across, down; /* tiles of a picture */
  int64_t steps;        /* pairs of input channels */
  int64_t lda, pitch;   /* numbers from a tile's inputs to the next's, … */
  int64_t sums_pitch;   /* … and from one array of all tiles to the next */
  int64_t tiles;        /* of a piece of work */
  size_t input, sums, tables; /* bytes of a thread's scratch */
  int blocks;
  struct qk_winograd_block *block;
  void *arrays;
};

static inline int64_t
divide_up (int64_t a, int64_t b)
{
  return (a + b - 1) / b;
}

static inline int64_t
round64 (int64_t size)
{
  return divide_up (size, 64) * 64;
}

/* Whether all sums of products with C input channels are small enough to be told
 * from their remainder modulo 2^32, see kernels.h. */
bool fbgemm_winograd_is_exact (const struct qk_op *op, int64_t c);

/* Transform and pack the weights into k->winograd.  -ENOMEM. */
int fbgemm_pack_winograd (struct fbgemm_kernel *k);

#endif /* FBGEMM_WINOGRAD_H */
