/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_nameless.c: a class without a description. */
#include "tp.h"

static const struct qk_observer_class observer = {
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "tp_nameless",
                   NULL, NULL),
  .create = tp_create,
  .destroy = tp_destroy,
  .update_range = tp_update_range,
  .range = tp_range,
};

QK_PLUGIN ("tp_nameless", "1", "LGPL-2.1-or-later", &observer.cls);
