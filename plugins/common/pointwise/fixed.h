/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fixed.h: functions of two tensors in fixed point.
 *
 * Integers need fewer instructions than numeric.h's floats, but round by
 * themselves.  As both operands are bytes, all 65536 pairs can be tried: a
 * plan is made only where each of them gives the byte of the float kernel. */
#ifndef POINTWISE_FIXED_H
#define POINTWISE_FIXED_H

#include "pointwise.h"

/* Write G->fixed for FUNCTION, where kernels FIXED then give the same bytes as
 * EXACT for all operands.  False: they do not. */
bool fixed_plan (int function, qk_binary_u8_fn *exact, qk_binary_u8_fn *fixed,
                 struct qk_grids *g);

#endif /* POINTWISE_FIXED_H */
