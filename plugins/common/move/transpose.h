/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* transpose.h: the axes of samples in another order. */
#ifndef QATKIT_COMMON_MOVE_TRANSPOSE_H
#define QATKIT_COMMON_MOVE_TRANSPOSE_H

#include <qatkit/tensor.h>

#define MOVE_AXES (QK_MAX_DIMS + 1) /* with the batch */

/* What is left when axes that stay neighbours are one.  Steps are counted in
 * units, the part of the innermost axis that stays innermost. */
struct transpose {
  int64_t unit; /* elements that stay together */
  /* the plane that is turned: ROWS beside each other in the output, COLUMNS
   * in the input; 1 by 1 where nothing is turned */
  int64_t rows, columns;
  int64_t in_step, out_step; /* between rows of the input, of the output */
  int axes;                  /* around it, the batch first */
  int64_t size[MOVE_AXES], from[MOVE_AXES], to[MOVE_AXES];
};

/* The plan for samples of N axes of sizes SIZE, axis i of the output being
 * axis ORDER[i]; the checked arrays of a QK_OP_TRANSPOSE, or its opposite
 * way with BACK. */
void transpose_plan (const int32_t *order, int n, bool back,
                     struct transpose *t);

/* Move N samples of elements of SIZE bytes from IN to OUT. */
void transpose_run (const struct transpose *t, int64_t n, const void *in,
                    void *out, size_t size, int threads);

/* OUT (COLUMNS,ROWS), rows OS bytes apart, of the bytes IN (ROWS,COLUMNS), rows
 * IS apart.  One thread. */
void transpose_bytes (const uint8_t *in, int64_t rows, int64_t columns,
                      int64_t is, uint8_t *out, int64_t os);

#endif /* QATKIT_COMMON_MOVE_TRANSPOSE_H */
