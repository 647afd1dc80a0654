/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* norm.h: normalisation by the mean and variance of a row, or of groups of a
 * sample's channels (numeric.h: normalisation), on bytes and on real numbers;
 * shared by the layers and the backends.
 *
 * A block is what is normalised together: a row of C channels, or all rows of
 * a sample, in GROUPS sets of C / GROUPS channels.  Its statistics are one
 * struct qk_norm a set. */
#ifndef QATKIT_COMMON_NORM_H
#define QATKIT_COMMON_NORM_H

#include <qatkit/numeric.h>

struct norm {
  int64_t channels, rows; /* of a block */
  int64_t blocks;         /* of a sample */
  int64_t groups;
  bool centered;
  float eps;
};

/* For tensors of SHAPE (N,...,C). */
void norm_plan (const struct qk_shape *shape, bool per_sample, int64_t groups,
                bool centered, float eps, struct norm *out);

/* Bytes of scratch memory for a block, a multiple of 64. */
size_t norm_scratch (const struct norm *n);

/* Statistics of a block X on grid Q, or of real numbers, to OUT. */
void norm_of_bytes (const struct norm *n, const uint8_t *x,
                    const struct qk_qparams *q, void *scratch,
                    struct qk_norm *out);
void norm_of_reals (const struct norm *n, const float *x, void *scratch,
                    struct qk_norm *out);

/* The block X, of which STATISTICS are known, as real numbers. */
void norm_bytes_real (const struct norm *n, const uint8_t *x,
                      const struct qk_qparams *q,
                      const struct qk_norm *statistics, const float *gamma,
                      const float *beta, void *scratch, float *y);
void norm_reals (const struct norm *n, const float *x,
                 const struct qk_norm *statistics, const float *gamma,
                 const float *beta, void *scratch, float *y);

/* The same of bytes on grid OUT within LO..HI. */
void norm_bytes (const struct norm *n, const uint8_t *x,
                 const struct qk_qparams *q, const struct qk_norm *statistics,
                 const float *gamma, const float *beta,
                 const struct qk_qparams *out, int32_t lo, int32_t hi,
                 void *scratch, uint8_t *y);

#endif /* QATKIT_COMMON_NORM_H */
