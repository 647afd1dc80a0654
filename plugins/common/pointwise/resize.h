/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* resize.h: samples of another height and width, columns first, then rows. */
#ifndef POINTWISE_RESIZE_H
#define POINTWISE_RESIZE_H

#include "pointwise.h"

/* Whether K's can be made by resize_rows, which needs kernels that not every
 * level has. */
bool resize_has_rows (const struct pointwise *k);

/* Run N samples. */
void resize_rows (const struct pointwise *k, int64_t n, const uint8_t *x,
                  uint8_t *y);

#endif /* POINTWISE_RESIZE_H */
