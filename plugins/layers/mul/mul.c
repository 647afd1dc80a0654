/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mul: the product of two tensors, element by element; see common/binary/binary.h. */
#include "config.h"

#include "binary/binary.h"

static int
create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return binary_create (QK_MUL, self);
}

static const struct qk_layer_class mul = BINARY_CLASS (
  "mul", "Product of two tensors, element by element; shapes are broadcast");

QK_PLUGIN ("mul", PACKAGE_VERSION, "LGPL-2.1-or-later", &mul.cls);
