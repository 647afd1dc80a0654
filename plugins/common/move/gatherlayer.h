/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gatherlayer.h: what the layers share whose output consists of elements of
 * their input and a constant, chosen along each axis by itself.
 *
 * x (N,…), y[n,i,j,…] = x[n,p1[i],p2[j],…], or the constant where one of the
 * places is -1; dx is the sum of dy over all places that an element went to.
 * In int8 the same bytes: the output lies on the grid of the input, and the
 * constant is quantized to it. */
#ifndef QATKIT_COMMON_MOVE_GATHERLAYER_H
#define QATKIT_COMMON_MOVE_GATHERLAYER_H

#include <qatkit/layer.h>

#include "gather.h"

struct gatherlayer;

struct gatherlayer_kind {
  const char *name;
  /* Check IN's axes.  (optional; default: any will do) */
  int (*check) (const struct gatherlayer *l, const struct qk_shape *in);
  /* Size of axis D of the output where that of the input is SIZE: D counts
   * with the batch, which is not asked for.  0: it would be empty. */
  int64_t (*size) (const struct gatherlayer *l, int d, int64_t size);
  /* The OUT places along axis D in an input of SIZE. */
  void (*places) (const struct gatherlayer *l, int d, int64_t size,
                  int64_t out, int32_t *place);
};

/* Layers begin with one, whose first two members they set. */
struct gatherlayer {
  const struct gatherlayer_kind *kind;
  float fill;
  int64_t n_places; /* from infer on */
  int32_t *place;
  struct gather plan;
};

/* Does not accept NULL, and frees what is in L, not L. */
void gatherlayer_clear (struct gatherlayer *l);

/* The other slots of struct qk_layer_class. */
void gatherlayer_destroy (void *self); /* clear and free */
int gatherlayer_infer (void *self, const struct qk_shape *in, int n_in,
                       struct qk_shape *out);
void gatherlayer_describe (void *self, struct qk_layer_traits *out);
int gatherlayer_setup (void *self, struct qk_layer_setup *s);
int gatherlayer_forward (void *self, struct qk_layer_io *io);
int gatherlayer_backward (void *self, struct qk_layer_io *io);
int gatherlayer_lower (void *self, const struct qk_layer_io *io,
                       struct qk_op *op);

#define GATHERLAYER_CLASS(name, description, options)                         \
  {                                                                           \
    .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, name, description, \
                     options),                                                \
    .create = create, .destroy = destroy, .infer = gatherlayer_infer,         \
    .describe = gatherlayer_describe, .setup = gatherlayer_setup,             \
    .forward = gatherlayer_forward, .backward = gatherlayer_backward,         \
    .quantized = true, .lower = gatherlayer_lower,                            \
    .geometry = gatherlayer_lower                                             \
  }

#endif /* QATKIT_COMMON_MOVE_GATHERLAYER_H */
