/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* affine.c: the grid that covers the observed range, symmetric for weights
 * (qk_calculate_qparams), and the clipped straight-through estimator: all of
 * it the library's defaults. */
#include "config.h"

#include <qatkit/fakequant.h>

static const struct qk_fakequant_class affine = {
  .cls = QK_CLASS_DEFAULT (
    struct qk_fakequant_class, QK_KIND_FAKEQUANT, "affine",
    "Affine over the observed range, straight-through gradient", NULL, 100, 0,
    ""),
  .self_size = sizeof (const struct qk_quant_info *),
};

QK_PLUGIN ("affine", "1.0", "LGPL-2.1-or-later", &affine.cls);
