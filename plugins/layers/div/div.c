/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* div: the quotient of two tensors; see common/binary/binary.h. */
#include "config.h"

#include "binary/binary.h"

static int
create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return binary_create (QK_DIV, self);
}

static const struct qk_layer_class div
  = BINARY_CLASS ("div", "Quotient of two tensors; shapes are broadcast");

QK_PLUGIN ("div", PACKAGE_VERSION, "LGPL-2.1-or-later", &div.cls);
