/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_liar.c: says that its class has all the slots, and ends before. */
#include "tp.h"

static const struct {
  struct qk_class cls;
  int (*create) (const struct qk_config *, const struct qk_quant_info *,
                 void **);
  void (*destroy) (void *);
  int (*update) (void *, const float *, size_t);
  int (*update_range) (void *, const float *, const float *);
  int (*range) (void *, float *, float *);
  const char *not_part_of_it[8];
} observer = {
  .cls = { sizeof (struct qk_observer_class), QK_KIND_OBSERVER, "tp_liar",
           "For tests", NULL, 0, 0, NULL },
  .create = tp_create,
  .destroy = tp_destroy,
  .update_range = tp_update_range,
  .range = tp_range,
  .not_part_of_it = { "something", "else" },
};

QK_PLUGIN ("tp_liar", "1", "LGPL-2.1-or-later", &observer.cls);
