/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_older.c: built when observers had no slot "state"; what lies behind its
 * class is none of the library's business. */
#include "tp.h"

static const struct {
  struct qk_class cls;
  int (*create) (const struct qk_config *, const struct qk_quant_info *,
                 void **);
  void (*destroy) (void *);
  int (*update) (void *, const float *, size_t);
  int (*update_range) (void *, const float *, const float *);
  int (*range) (void *, float *, float *);
  uintptr_t not_part_of_it;
} observer = {
  .cls = { offsetof (struct qk_observer_class, state), QK_KIND_OBSERVER,
           "tp_older", "For tests", NULL, 0, 0, NULL },
  .create = tp_create,
  .destroy = tp_destroy,
  .update_range = tp_update_range,
  .range = tp_range,
  .not_part_of_it = UINTPTR_MAX,
};

QK_PLUGIN ("tp_older", "1", "LGPL-2.1-or-later", &observer.cls);
