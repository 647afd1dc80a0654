/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_outside.c: a class outside of everything. */
#include "tp.h"

QK_PLUGIN ("tp_outside", "1", "LGPL-2.1-or-later",
           (const struct qk_class *) (uintptr_t) 0x10);
