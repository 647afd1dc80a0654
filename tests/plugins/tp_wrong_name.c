/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_wrong_name.c: calls itself otherwise than its file. */
#include "tp.h"

static const struct qk_observer_class observer
  = TP_OBSERVER ("tp_original", NULL);

QK_PLUGIN ("tp_original", "1", "LGPL-2.1-or-later", &observer.cls);
