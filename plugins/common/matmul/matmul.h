/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* matmul.h: which matrices a product of two tensors multiplies; shared by the
 * layer matmul and the backends.
 *
 * a (N,...,M,K), b (N,...,K,P), y (N,...,M,P); with transpose_a and
 * transpose_b the last two axes of a and b are the other way round. */
#ifndef QATKIT_COMMON_MATMUL_H
#define QATKIT_COMMON_MATMUL_H

#include "broadcast/broadcast.h"

struct matmul {
  int64_t m, k, p;
  bool ta, tb;
  int64_t products;      /* of a sample of y */
  int64_t of[2];         /* matrices of a sample of a and b */
  struct broadcast lead; /* of the axes before the last two */
};

/* A and B can be multiplied (qk_shape_matmul). */
void matmul_plan (const struct qk_shape *a, const struct qk_shape *b, bool ta,
                  bool tb, struct matmul *out);

/* Which matrices of a and b, counted over all samples, the product I of all
 * samples is of. */
void matmul_at (const struct matmul *mm, int64_t i, int64_t from[2]);

#endif /* QATKIT_COMMON_MATMUL_H */
