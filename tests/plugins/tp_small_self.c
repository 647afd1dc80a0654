/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_small_self.c: an instance too small for the pointer it begins with. */
#include "tp.h"

QK_OBSERVER (tp_small_self, "1", "LGPL-2.1-or-later", "For tests", NULL,
             .self_size = 4, .update_range = tp_update_range,
             .range = tp_range);
