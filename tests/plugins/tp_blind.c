/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_blind.c: an observer that can look at nothing. */
#include "tp.h"

static const struct qk_observer_class observer = {
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "tp_blind",
                   "For tests", NULL),
  .create = tp_create,
  .destroy = tp_destroy,
  .range = tp_range,
};

QK_PLUGIN ("tp_blind", "1", "LGPL-2.1-or-later", &observer.cls);
