/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_endless.c: options that lie nowhere. */
#include "tp.h"

static const struct qk_observer_class observer
  = TP_OBSERVER ("tp_endless", (const struct qk_option *) (uintptr_t) 0x20);

QK_PLUGIN ("tp_endless", "1", "LGPL-2.1-or-later", &observer.cls);
