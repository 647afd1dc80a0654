/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* affine.c: the grid that covers the observed range, symmetric for weights
 * (qk_calculate_qparams), and the clipped straight-through estimator: all of
 * it the library's defaults. */
#include "config.h"

#include <qatkit/fakequant.h>

static int
affine_create (const struct qk_config *cfg, const struct qk_quant_info *info,
               void **self)
{
  (void) cfg;
  (void) info;
  *self = NULL;
  return 0;
}

static void
affine_destroy (void *self)
{
  (void) self;
}

static const struct qk_fakequant_class affine = {
  .cls
  = QK_CLASS (struct qk_fakequant_class, QK_KIND_FAKEQUANT, "affine",
              "Grid over the observed range, straight-through gradient", NULL),
  .create = affine_create,
  .destroy = affine_destroy,
};

QK_PLUGIN ("affine", "1.0", "LGPL-2.1-or-later", &affine.cls);
