/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_silent.c: an error without a sentence. */
#include <errno.h>

#include "tp.h"

static int
silent_create (const struct qk_config *cfg, const struct qk_quant_info *info,
               void **self)
{
  (void) cfg;
  (void) info;
  (void) self;
  return -EIO;
}

static const struct qk_observer_class observer = {
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "tp_silent",
                   "For tests", NULL),
  .create = silent_create,
  .destroy = tp_destroy,
  .update_range = tp_update_range,
  .range = tp_range,
};

QK_PLUGIN ("tp_silent", "1", "LGPL-2.1-or-later", &observer.cls);
