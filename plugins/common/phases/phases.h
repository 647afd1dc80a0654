/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* phases.h: a transposed convolution as ordinary ones.
 *
 * Outputs whose row is the same modulo the stride, and their column likewise,
 * see the same taps of the window, one step of the input apart: they are a
 * convolution with stride 1.  There are stride_h x stride_w of them, each with
 * a part of the window, and their outputs lie between one another. */
#ifndef QATKIT_COMMON_PHASES_H
#define QATKIT_COMMON_PHASES_H

#include <qatkit/backend.h>

struct phase {
  struct qk_op op; /* a QK_OP_CONV2D, which shares all but the weight */
  struct qk_shape in, out;
  int8_t *weight;   /* owned */
  int64_t row, col; /* its first output in the whole */
};

/* The phases of OP, checked for shapes IN and OUT.  *LIST belongs to the
 * caller: phases_free.  Returns how many there are. */
int phases_new (const struct qk_op *op, const struct qk_shape *in,
                const struct qk_shape *out, struct phase **list);
void phases_free (struct phase *list, int n); /* accepts NULL */

/* Elements of the largest output of a sample. */
int64_t phases_largest (const struct phase *list, int n);

/* Put N samples of the outputs FROM of phase P where they belong in TO, which
 * has the shape OUT; elements of SIZE bytes. */
void phases_put (const struct phase *p, const struct qk_op *op,
                 const struct qk_shape *out, int64_t n, size_t size,
                 int threads, const void *from, void *to);

/* All of them, prepared by a backend. */
struct phased;

/* Prepare OP with the slots of backend SELF, which CLS has.  *SCRATCH: bytes
 * that phased_run wants.  *OUT belongs to the caller: phased_free. */
int phased_new (void *self, const struct qk_backend_class *cls, int threads,
                const struct qk_op *op, const struct qk_shape *in,
                const struct qk_shape *out_shape, size_t *scratch,
                struct phased **out);
void phased_free (struct phased *p); /* accepts NULL */
void phased_run (const struct phased *p, int64_t n, const void *const *in,
                 void *out, void *scratch);

#endif /* QATKIT_COMMON_PHASES_H */
