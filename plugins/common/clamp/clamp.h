/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clamp.h: what the layers that limit their input to a range share.
 *
 * x of any shape; y = min (max (x, lo), hi), NaN stays NaN.
 * dx = dy where lo < x < hi, else 0.
 * On u8, and on real numbers on a grid, the bounds are those of qk_clamp_bounds,
 * and the output stays on the input's grid.  The functions are the slots of
 * struct qk_layer_class. */
#ifndef QATKIT_COMMON_CLAMP_H
#define QATKIT_COMMON_CLAMP_H

#include <qatkit/layer.h>

/* NAME (static) is used in messages; +-INFINITY means no bound. */
int clamp_create (const char *name, float lo, float hi, void **self);
void clamp_destroy (void *self);
int clamp_infer (void *self, const struct qk_shape *in, int n_in,
                 struct qk_shape *out);
void clamp_describe (void *self, struct qk_layer_traits *out);
int clamp_setup (void *self, struct qk_layer_setup *s);
int clamp_forward (void *self, struct qk_layer_io *io);
int clamp_backward (void *self, struct qk_layer_io *io);
int clamp_lower (void *self, const struct qk_layer_io *io, struct qk_op *op);

#endif /* QATKIT_COMMON_CLAMP_H */
