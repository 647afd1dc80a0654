/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* normlayer.h: what the layers share that normalise by the statistics of the
 * numbers they are given:
 *
 *   h = (x - mean) / sqrt (var + eps),  y = h weight[c] + bias[c]
 *   dx = (g - mean (g) - h mean (g h)) / sqrt (var + eps),  g = dy weight[c]
 *
 * Means are taken over the channels at each place (layer norm; root mean
 * square norm subtracts no mean), or over a sample's groups of channels (group
 * norm, instance norm).  On a grid the statistics are those of whole numbers,
 * as in the int8 operation (numeric.h: normalisation). */
#ifndef QATKIT_COMMON_NORMLAYER_H
#define QATKIT_COMMON_NORMLAYER_H

#include <qatkit/layer.h>

/* What a layer is; static. */
struct normlayer_kind {
  const char *name;
  bool per_sample, centered;
  int least_dims;  /* of the input */
  bool each_alone; /* a group for every channel */
};

/* The slots of struct qk_layer_class.  GROUPS: 1 where a layer has no such
 * option. */
int normlayer_create (const struct normlayer_kind *kind,
                      const struct qk_config *cfg, int64_t groups,
                      void **self);
void normlayer_destroy (void *self);
int normlayer_infer (void *self, const struct qk_shape *in, int n_in,
                     struct qk_shape *out);
int normlayer_params (void *self, struct qk_param_spec *out);
int normlayer_setup (void *self, struct qk_layer_setup *s);
int normlayer_forward (void *self, struct qk_layer_io *io);
int normlayer_backward (void *self, struct qk_layer_io *io);
int normlayer_lower (void *self, const struct qk_layer_io *io,
                     struct qk_op *op);
int normlayer_geometry (void *self, const struct qk_layer_io *io,
                        struct qk_op *op);

#define NORMLAYER_EPS(value)                                                  \
  {                                                                           \
    "eps", QK_OPT_FLOAT, value, 1e-12, 1, NULL, "Added to the variance"       \
  }
#define NORMLAYER_AFFINE(value, what)                                         \
  {                                                                           \
    "affine", QK_OPT_BOOL, value, 0, 0, NULL, "Train " what                   \
  }

#define NORMLAYER_CLASS(name, description, options)                           \
  {                                                                           \
    .cls = QK_CLASS (struct qk_layer_class, QK_KIND_LAYER, #name,             \
                     description, options),                                   \
    .create = name##_create, .destroy = normlayer_destroy,                    \
    .infer = normlayer_infer, .params = normlayer_params,                     \
    .setup = normlayer_setup, .forward = normlayer_forward,                   \
    .backward = normlayer_backward, .quantized = true,                        \
    .lower = normlayer_lower, .geometry = normlayer_geometry                  \
  }

#endif /* QATKIT_COMMON_NORMLAYER_H */
