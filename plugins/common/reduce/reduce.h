/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reduce.h: one number out of those along some axes of a sample: where they
 * lie, and their sum, largest or smallest. */
#ifndef QATKIT_COMMON_REDUCE_H
#define QATKIT_COMMON_REDUCE_H

#include <qatkit/numeric.h>

/* The axes of a sample, neighbours of one kind taken as one, the last one
 * fastest. */
struct reduce {
  int kept, reduced; /* axes of each kind; of the second at least 1 */
  int64_t kept_size[QK_MAX_DIMS], kept_step[QK_MAX_DIMS];
  int64_t size[QK_MAX_DIMS], step[QK_MAX_DIMS];
  int64_t in, outputs; /* elements of a sample of input and output */
  int64_t count;       /* elements that become one */
  int64_t inner;       /* kept elements that lie side by side */
};

/* AXES: bit I for axis I, which is to be reduced; not the batch axis. */
void reduce_plan (const struct qk_shape *in, int axes, struct reduce *out);

/* Where in its sample output I has its first element. */
int64_t reduce_kept_at (const struct reduce *p, int64_t i);

/* Where, from there on, the I-th row along the last reduced axis begins; there
 * are count / size[reduced - 1] of them. */
int64_t reduce_row_at (const struct reduce *p, int64_t i);

/* Outputs FIRST to FIRST + COUNT - 1 of the sample X: the sum of its bytes, or
 * the largest or smallest, of FUNCTION, enum qk_reduction. */
void reduce_u8 (const struct reduce *p, int function, const uint8_t *x,
                int64_t first, int64_t count, int32_t *out);
void reduce_f32 (const struct reduce *p, int function, const float *x,
                 int64_t first, int64_t count, double *out);

#endif /* QATKIT_COMMON_REDUCE_H */
