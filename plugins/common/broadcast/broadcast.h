/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* broadcast.h: two tensors of different shapes, element by element: where the
 * elements of one sample's output come from. */
#ifndef QATKIT_COMMON_BROADCAST_H
#define QATKIT_COMMON_BROADCAST_H

#include <qatkit/tensor.h>

/* The axes of an output sample, those that both inputs go through alike taken
 * as one, the last one fastest. */
struct broadcast {
  int axes; /* at least 1 */
  int64_t size[QK_MAX_DIMS];
  int64_t step[2][QK_MAX_DIMS]; /* elements of input 0 and 1; 0: repeated */
  int64_t of[2];                /* elements of a sample of input 0 and 1 */
  int64_t count;                /* of an output sample */
};

/* A and B can be broadcast (qk_shape_broadcast). */
void broadcast_plan (const struct qk_shape *a, const struct qk_shape *b,
                     struct broadcast *out);

/* Where output element AT of a sample has its two elements; *RUN: how many
 * from there on lie in the last axis. */
void broadcast_at (const struct broadcast *p, int64_t at, int64_t from[2],
                   int64_t *run);

#endif /* QATKIT_COMMON_BROADCAST_H */
