/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pool.h: pooling by rows first, then columns. */
#ifndef POINTWISE_POOL_H
#define POINTWISE_POOL_H

#include "pointwise.h"

/* Whether K's pooling can be done by pool_rows, which needs kernels that not
 * every level has. */
bool pool_has_rows (const struct pointwise *k);

/* Run N samples. */
void pool_rows (const struct pointwise *k, int64_t n, const uint8_t *x,
                uint8_t *y);

#endif /* POINTWISE_POOL_H */
