/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_beyond.c: a struct_size larger than the file. */
#include "tp.h"

static const struct qk_observer_class observer = {
  .cls
  = { SIZE_MAX, QK_KIND_OBSERVER, "tp_beyond", "For tests", NULL, 0, 0, NULL },
  .create = tp_create,
  .destroy = tp_destroy,
  .update_range = tp_update_range,
  .range = tp_range,
};

QK_PLUGIN ("tp_beyond", "1", "LGPL-2.1-or-later", &observer.cls);
