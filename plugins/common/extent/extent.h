/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* extent.h: the smallest and largest of numbers that come block by block, for
 * layers that observe their output without keeping it as floats. */
#ifndef QATKIT_COMMON_EXTENT_H
#define QATKIT_COMMON_EXTENT_H

#include <math.h>

#include <qatkit/quantizer.h>

/* Of one thread's blocks; BAD: one number was NaN or infinite. */
struct extent {
  float min, max;
  bool bad;
};

#define EXTENT_EMPTY ((struct extent){ INFINITY, -INFINITY, false })

/* Let E hold the N numbers of Y. */
void extent_block (const float *y, int64_t n, struct extent *e);

/* Let QZ, which wants ranges, observe what the N extents hold together.  The
 * result does not depend on how the numbers were divided.  Errors: those of
 * qk_quantizer_observe_range(). */
int extent_observe (struct qk_quantizer *qz, const struct extent *e, int n);

#endif /* QATKIT_COMMON_EXTENT_H */
