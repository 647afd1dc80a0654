/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* affine.c: the grid that covers the observed range, symmetric for weights
 * (qk_calculate_qparams), and the clipped straight-through estimator: all of
 * it the library's defaults. */
#include "config.h"

#include <qatkit/fakequant.h>

QK_FAKEQUANT (affine, "1.0", "LGPL-2.1-or-later",
              "Grid over the observed range, straight-through gradient", NULL,
              .self_size = sizeof (const struct qk_quant_info *));
