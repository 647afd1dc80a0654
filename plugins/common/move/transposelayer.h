/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* transposelayer.h: what the layers share that put the elements of samples in
 * another order by their axes.  A sample is seen as a tensor of SIZE, the
 * axes of the output are those of ORDER, and neighbours of them may be one.
 * dx is dy in the opposite order.  In int8 the same bytes. */
#ifndef QATKIT_COMMON_MOVE_TRANSPOSELAYER_H
#define QATKIT_COMMON_MOVE_TRANSPOSELAYER_H

#include <qatkit/layer.h>

#include "transpose.h"

/* Layers begin with one and set NAME. */
struct transposelayer {
  const char *name;
  int axes;
  int32_t order[2 * QK_MAX_DIMS]; /* as that of struct qk_op */
  struct transpose plan, back;
};

/* The end of the slot infer: the sample's N axes of sizes SIZE are put in
 * ORDER. */
int transposelayer_set (struct transposelayer *l, int n, const int64_t *size,
                        const int *order);

/* The other slots of struct qk_layer_class. */
void transposelayer_destroy (void *self);
void transposelayer_describe (void *self, struct qk_layer_traits *out);
int transposelayer_setup (void *self, struct qk_layer_setup *s);
int transposelayer_forward (void *self, struct qk_layer_io *io);
int transposelayer_backward (void *self, struct qk_layer_io *io);
int transposelayer_lower (void *self, const struct qk_layer_io *io,
                          struct qk_op *op);

#define TRANSPOSELAYER_CLASS(name, description, options)                      \
  {                                                                           \
    .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, name, description, \
                     options),                                                \
    .create = create, .destroy = transposelayer_destroy, .infer = infer,      \
    .describe = transposelayer_describe, .setup = transposelayer_setup,       \
    .forward = transposelayer_forward, .backward = transposelayer_backward,   \
    .quantized = true, .lower = transposelayer_lower,                         \
    .geometry = transposelayer_lower                                          \
  }

#endif /* QATKIT_COMMON_MOVE_TRANSPOSELAYER_H */
