/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* unary.h: what layers share that apply a function to each element.
 *
 * x of any shape; y = f (x), dx = dy f'(x).  Between quantized tensors a
 * function is a table of what it gives for the 256 numbers of the input's
 * grid: training's forward looks into the same table as the int8 op that the
 * layer lowers to, and backward into one of the 256 slopes.
 *
 * A layer is two static inline functions NAME_value and NAME_slope of
 * (float x, const float *p), P being up to UNARY_PARAMS options, and
 *
 *   UNARY_FUNCTION (NAME);
 *   static int NAME_create (const struct qk_config *cfg, void **self)
 *   { … return unary_create (&NAME_function, p, self); }
 *   static const struct qk_layer_class NAME = UNARY_CLASS (NAME, "…", options);
 */
#ifndef QATKIT_COMMON_UNARY_H
#define QATKIT_COMMON_UNARY_H

#include <qatkit/elementary.h>
#include <qatkit/layer.h>

#include "multiversion.h"

#define UNARY_PARAMS 2

/* Loops over N elements. */
typedef void (*unary_loop) (const float *x, float *y, int64_t n,
                            const float *p);

struct unary_function {
  const char *name;
  unary_loop value; /* y = f (x) */
  unary_loop slope; /* y = f'(x) */
};

#define UNARY_LOOP(function)                                                  \
  QK_LOOP (                                                                   \
    static, function##_loop,                                                  \
    (const float *restrict x, float *restrict y, int64_t n, const float *p),  \
    (x, y, n, p))                                                             \
  {                                                                           \
    float own[UNARY_PARAMS];                                                  \
                                                                              \
    memcpy (own, p, sizeof own);                                              \
    QK_SIMD                                                                   \
    for (int64_t i = 0; i < n; i++)                                           \
      y[i] = function (x[i], own);                                            \
  }

#define UNARY_FUNCTION(name)                                                  \
  UNARY_LOOP (name##_value)                                                   \
  UNARY_LOOP (name##_slope)                                                   \
  static const struct unary_function name##_function                          \
    = { #name, name##_value_loop, name##_slope_loop }

#define UNARY_CLASS(name, description, options)                               \
  {                                                                           \
    .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, #name,             \
                     description, options),                                   \
    .create = name##_create, .destroy = unary_destroy, .infer = unary_infer,  \
    .setup = unary_setup, .forward = unary_forward,                           \
    .backward = unary_backward, .quantized = true, .lower = unary_lower,      \
    .geometry = unary_geometry                                                \
  }

/* FUNCTION is static; P: UNARY_PARAMS numbers, copied, or NULL: zeros. */
int unary_create (const struct unary_function *function, const float *p,
                  void **self);

/* The slots of struct qk_layer_class. */
void unary_destroy (void *self);
int unary_infer (void *self, const struct qk_shape *in, int n_in,
                 struct qk_shape *out);
int unary_setup (void *self, struct qk_layer_setup *s);
int unary_forward (void *self, struct qk_layer_io *io);
int unary_backward (void *self, struct qk_layer_io *io);
int unary_lower (void *self, const struct qk_layer_io *io, struct qk_op *op);
int unary_geometry (void *self, const struct qk_layer_io *io,
                    struct qk_op *op);

#endif /* QATKIT_COMMON_UNARY_H */
