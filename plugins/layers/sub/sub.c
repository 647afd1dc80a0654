/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sub: the difference of two tensors; see common/binary/binary.h. */
#include "config.h"

#include "binary/binary.h"

static int
create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return binary_create (QK_SUB, self);
}

static const struct qk_layer_class sub
  = BINARY_CLASS ("sub", "Difference of two tensors; shapes are broadcast");

QK_PLUGIN ("sub", PACKAGE_VERSION, "LGPL-2.1-or-later", &sub.cls);
