/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* realout.h: for layers that work on quantized tensors by computing real
 * numbers: what becomes of these at the output, and of its gradient.
 *
 * Where out is f32 the numbers are the output.  Where it is u8 they are kept
 * (in training for backward) while the quantizer sees them and puts them on
 * its grid. */
#ifndef QATKIT_COMMON_REALOUT_H
#define QATKIT_COMMON_REALOUT_H

#include <qatkit/layer.h>

/* Ask for room, which begins at *SAVED of saved and *WORKSPACE of the
 * workspace; both are multiples of 64. */
struct realout {
  size_t saved, workspace;
};

void realout_setup (struct realout *r, struct qk_layer_setup *s);

/* Where forward shall write its real numbers. */
float *realout_numbers (const struct realout *r, const struct qk_layer_io *io);

/* They are there: quantize them, if that is wanted.  WHO: for messages. */
int realout_finish (const struct realout *r, const char *who,
                    struct qk_layer_io *io);

/* *DY: the gradient by the numbers, io->dout itself or in the workspace. */
int realout_gradient (const struct realout *r, const struct qk_layer_io *io,
                      const float **dy);

#endif /* QATKIT_COMMON_REALOUT_H */
