/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* numbers.h: blocks of bytes on a grid to real numbers, and back (numeric.h),
 * in loops for each CPU level.  One thread. */
#ifndef QATKIT_COMMON_NUMBERS_H
#define QATKIT_COMMON_NUMBERS_H

#include <qatkit/tensor.h>

/* OUT, the real numbers that the N bytes BYTE on grid Q stand for. */
void numbers_of_bytes (const uint8_t *byte, int64_t n,
                       const struct qk_qparams *q, float *out);

/* BYTE, the N numbers X on grid Q within LO..HI. */
void numbers_to_bytes (const float *x, int64_t n, const struct qk_qparams *q,
                       int32_t lo, int32_t hi, uint8_t *byte);

#endif /* QATKIT_COMMON_NUMBERS_H */
