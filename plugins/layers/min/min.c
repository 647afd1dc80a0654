/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* min: the smaller of two numbers; see common/binary/binary.h. */
#include "config.h"

#include "binary/binary.h"

static int
create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return binary_create (QK_MIN, self);
}

static const struct qk_layer_class min = BINARY_CLASS (
  "min",
  "The smaller of two numbers, element by element; shapes are broadcast");

QK_PLUGIN ("min", PACKAGE_VERSION, "LGPL-2.1-or-later", &min.cls);
