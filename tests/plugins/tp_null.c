/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_null.c: an entry that returns nothing. */
#include "qatkit/plugin.h"

QK_PUBLIC const struct qk_plugin *qk_plugin_v1 (void);

const struct qk_plugin *
qk_plugin_v1 (void)
{
  return NULL;
}
