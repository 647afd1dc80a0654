/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_missing_slot.c: an observer that cannot say its range. */
#include "tp.h"

static const struct qk_observer_class observer = {
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER,
                   "tp_missing_slot", "For tests", NULL),
  .create = tp_create,
  .destroy = tp_destroy,
  .update_range = tp_update_range,
};

QK_PLUGIN ("tp_missing_slot", "1", "LGPL-2.1-or-later", &observer.cls);
