/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_newer.c: built when observers had more slots than this library knows. */
#include "tp.h"

static const struct {
  struct qk_observer_class known;
  uintptr_t slot[16];
} observer = {
  .known = {
    .cls = { sizeof observer, QK_KIND_OBSERVER, "tp_newer", "For tests",
             NULL, 0, 0, NULL },
    .create = tp_create,
    .destroy = tp_destroy,
    .update_range = tp_update_range,
    .range = tp_range,
  },
  .slot = { UINTPTR_MAX, UINTPTR_MAX, UINTPTR_MAX },
};

QK_PLUGIN ("tp_newer", "1", "LGPL-2.1-or-later", &observer.known.cls);
