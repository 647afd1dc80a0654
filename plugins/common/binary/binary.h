/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* binary.h: what the layers share that join two tensors element by element,
 * with the clamp that follows.
 *
 * y = f (a, b), or min (max (f (a, b), lo), hi) with an absorbed clamp; the
 * shapes are broadcast as qk_shape_broadcast says.  With g = dy, 0 where
 * clamped:
 *   add  da = g    db = g
 *   sub  da = g    db = -g
 *   mul  da = g b  db = g a
 *   div  da = g / b  db = -g a / b^2
 *   max, min  da = g where a is the one, 0 where b is, g / 2 where both are
 * each summed over the axes along which the input is repeated.
 *
 * The int8 formula (qk_binary_quantized) is f of the dequantized numbers in
 * float and qk_quantize, and rounding is monotonous, so that clamping before
 * it or after it to qk_clamp_bounds is the same.  Between quantized tensors
 * all of it happens in blocks that stay in the cache, and the results in
 * float are not kept. */
#ifndef QATKIT_COMMON_BINARY_H
#define QATKIT_COMMON_BINARY_H

#include <qatkit/layer.h>

/* FUNCTION: enum qk_function, whose name is the layer's. */
int binary_create (int function, void **self);

/* The slots of struct qk_layer_class. */
void binary_destroy (void *self);
int binary_infer (void *self, const struct qk_shape *in, int n_in,
                  struct qk_shape *out);
void binary_describe (void *self, struct qk_layer_traits *out);
int binary_absorb (void *self, const struct qk_layer_traits *next);
int binary_setup (void *self, struct qk_layer_setup *s);
int binary_forward (void *self, struct qk_layer_io *io);
int binary_backward (void *self, struct qk_layer_io *io);
int binary_lower (void *self, const struct qk_layer_io *io, struct qk_op *op);

#define BINARY_CLASS(name, description)                                       \
  {                                                                           \
    .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, name, description, \
                     NULL),                                                   \
    .create = create, .destroy = binary_destroy, .infer = binary_infer,       \
    .describe = binary_describe, .absorb = binary_absorb,                     \
    .setup = binary_setup, .forward = binary_forward,                         \
    .backward = binary_backward, .quantized = true, .lower = binary_lower,    \
    .geometry = binary_lower                                                  \
  }

#endif /* QATKIT_COMMON_BINARY_H */
