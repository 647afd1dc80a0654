/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* softmax.h: softmax of bytes along an axis, by a table of the 256 terms that
 * differences from the largest byte can be (numeric.h: softmax); shared by the
 * layers and the backends. */
#ifndef QATKIT_COMMON_SOFTMAX_H
#define QATKIT_COMMON_SOFTMAX_H

#include <qatkit/numeric.h>

struct softmax {
  int function;         /* enum qk_softmax */
  int64_t length, step; /* of a row: elements, and from one to the next */
  float scale;          /* of the input */
  int32_t term[256];
};

/* For rows along AXIS of tensors of SHAPE; the scale is given later. */
void softmax_plan (const struct qk_shape *shape, int axis, int function,
                   struct softmax *out);
void softmax_set_scale (struct softmax *s, float scale);

/* Where row I begins. */
static inline int64_t
softmax_row (const struct softmax *s, int64_t i)
{
  if (s->step == 1) /* a division takes as long as a short row */
    return i * s->length;
  return i / s->step * s->step * s->length + i % s->step;
}

/* Rows FIRST to END - 1 of the bytes X as real numbers, to the same places
 * of Y. */
void softmax_real_rows (const struct softmax *s, const uint8_t *x,
                        int64_t first, int64_t end, float *y);

/* The same on grid Q within LO..HI. */
void softmax_byte_rows (const struct softmax *s, const uint8_t *x,
                        int64_t first, int64_t end, const struct qk_qparams *q,
                        int32_t lo, int32_t hi, uint8_t *y);

#endif /* QATKIT_COMMON_SOFTMAX_H */
