/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* max: the larger of two numbers; see common/binary/binary.h. */
#include "config.h"

#include "binary/binary.h"

static int
create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return binary_create (QK_MAX, self);
}

static const struct qk_layer_class max = BINARY_CLASS (
  "max",
  "The larger of two numbers, element by element; shapes are broadcast");

QK_PLUGIN ("max", PACKAGE_VERSION, "LGPL-2.1-or-later", &max.cls);
