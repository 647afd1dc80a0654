/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* softlayer.h: what the layers softmax and log_softmax share: along an axis,
 *
 *   softmax      y_i = e^x_i / sum_j e^x_j,  dx = y (dy - sum dy y)
 *   log_softmax  its logarithm,              dx = dy - e^y sum dy
 */
#ifndef QATKIT_COMMON_SOFTLAYER_H
#define QATKIT_COMMON_SOFTLAYER_H

#include <qatkit/layer.h>

/* The slots of struct qk_layer_class; FUNCTION is enum qk_softmax. */
int softlayer_create (const struct qk_config *cfg, const char *name,
                      int function, void **self);
void softlayer_destroy (void *self);
int softlayer_infer (void *self, const struct qk_shape *in, int n_in,
                     struct qk_shape *out);
void softlayer_describe (void *self, struct qk_layer_traits *out);
int softlayer_setup (void *self, struct qk_layer_setup *s);
int softlayer_forward (void *self, struct qk_layer_io *io);
int softlayer_backward (void *self, struct qk_layer_io *io);
int softlayer_lower (void *self, const struct qk_layer_io *io,
                     struct qk_op *op);

#define SOFTLAYER_OPTION                                                      \
  {                                                                           \
    "axis", QK_OPT_INT, "-1", -QK_MAX_DIMS, QK_MAX_DIMS - 1, NULL,            \
      "Axis along which numbers are compared, the batch being 0; -1 is the "  \
      "last one"                                                              \
  }

#endif /* QATKIT_COMMON_SOFTLAYER_H */
