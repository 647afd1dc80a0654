/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_later_abi.c: has only the entry of ABI 2. */
#include "qatkit/plugin.h"

QK_PUBLIC const void *qk_plugin_v2 (void);

const void *
qk_plugin_v2 (void)
{
  return NULL;
}
