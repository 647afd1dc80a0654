/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* lrn.h: local response normalisation of rows of channels (numeric.h); shared
 * by the layer and the backends. */
#ifndef QATKIT_COMMON_LRN_H
#define QATKIT_COMMON_LRN_H

#include <qatkit/numeric.h>

struct lrn {
  int64_t channels;
  int size; /* of the window, odd */
  float share, power, offset;
};

/* SUM: of the squares around each channel of the row X on grid Q. */
void lrn_sums (const struct lrn *l, const uint8_t *x,
               const struct qk_qparams *q, int32_t *sum);

/* The row X on grid Q as real numbers, of which SUM is known. */
void lrn_real_row (const struct lrn *l, const uint8_t *x,
                   const struct qk_qparams *q, const int32_t *sum, float *y);

#endif /* QATKIT_COMMON_LRN_H */
