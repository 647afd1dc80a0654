/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_tiny.c: a struct_size too small for any class. */
#include "tp.h"

static const struct qk_class observer
  = { 8, QK_KIND_OBSERVER, "tp_tiny", "For tests", NULL, 0, 0, NULL };

QK_PLUGIN ("tp_tiny", "1", "LGPL-2.1-or-later", &observer);
