/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gather.h: elements of samples by their places along each axis. */
#ifndef QATKIT_COMMON_MOVE_GATHER_H
#define QATKIT_COMMON_MOVE_GATHER_H

#include <qatkit/tensor.h>

/* Units that are made alike: COUNT from unit FROM on, each STEP after the one
 * before (0 or 1), or filled where FROM is negative. */
struct gather_run {
  int64_t from, count;
  int step;
};

/* The innermost axes that stay as they are make a unit; the axis around them
 * is cut into runs. */
struct gather {
  int64_t unit;           /* elements */
  int64_t in, out;        /* units of a sample */
  int64_t width;          /* units of a row, which consists of RUN */
  struct gather_run *run; /* runs of them */
  int64_t runs;
  int axes; /* around rows, without the batch */
  int64_t size[QK_MAX_DIMS];
  int64_t *at[QK_MAX_DIMS]; /* of each place along an axis: units from the
                               sample's first, or -1 */
  void *memory;
};

/* The plan for the checked array PLACE of a QK_OP_GATHER.  -ENOMEM; free with
 * gather_clear. */
int gather_plan (const char *who, const int32_t *place,
                 const struct qk_shape *in, const struct qk_shape *out,
                 struct gather *g);
/* Accepts a zeroed one. */
void gather_clear (struct gather *g);

/* Gather N samples of elements of SIZE bytes from IN to OUT; FILL is one
 * element. */
void gather_copy (const struct gather *g, int64_t n, const void *in, void *out,
                  size_t size, const void *fill, int threads);

/* The opposite for gradients: DX = sum of DY over the places that each element
 * went to. */
void gather_add (const struct gather *g, int64_t n, const float *dy, float *dx,
                 int threads);

#endif /* QATKIT_COMMON_MOVE_GATHER_H */
