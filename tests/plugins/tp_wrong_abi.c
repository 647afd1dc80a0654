/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_wrong_abi.c: has our entry but says it is of another ABI. */
#include "tp.h"

static const struct qk_observer_class observer
  = TP_OBSERVER ("tp_wrong_abi", NULL);
static const struct qk_class *const classes[] = { &observer.cls, NULL };
static const struct qk_plugin self
  = { sizeof self, 7, "tp_wrong_abi", "1", "LGPL-2.1-or-later", classes };

QK_PUBLIC const struct qk_plugin *qk_plugin_v1 (void);

const struct qk_plugin *
qk_plugin_v1 (void)
{
  return &self;
}
