/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* normop.h: softmax and normalisations as operations of int8 networks, shared
 * by backends; the loops are those that training runs too. */
#ifndef QATKIT_COMMON_NORMOP_H
#define QATKIT_COMMON_NORMOP_H

#include "int8op/int8op.h"

struct normop;

/* Whether KIND is one of them. */
bool normop_knows (enum qk_op_kind kind);

/* Prepare OP, checked by int8op_check with geometry G, for an input of shape
 * IN and up to THREADS threads.  *SCRATCH: bytes that run needs.  *OUT belongs
 * to the caller: qk_free.  -ENOMEM. */
int normop_new (const struct qk_op *op, const struct int8op_geometry *g,
                const struct qk_shape *in, int threads, struct normop **out,
                size_t *scratch);

/* Run N samples; y is u8 or, for an op whose output has no grid, f32. */
void normop_run (const struct normop *k, int64_t n, const uint8_t *x, void *y,
                 void *scratch);

#endif /* QATKIT_COMMON_NORMOP_H */
