/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* add: the sum of two tensors; see common/binary/binary.h. */
#include "config.h"

#include "binary/binary.h"

static int
create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  return binary_create (QK_ADD, self);
}

static const struct qk_layer_class add
  = BINARY_CLASS ("add", "Sum of two tensors; shapes are broadcast");

QK_PLUGIN ("add", PACKAGE_VERSION, "LGPL-2.1-or-later", &add.cls);
