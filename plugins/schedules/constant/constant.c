/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* constant.c: the learning rate stays as it is. */
#include "config.h"

#include <qatkit/optimizer.h>

static int
constant_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  *self = NULL;
  return 0;
}

static void
constant_destroy (void *self)
{
  (void) self;
}

static double
constant_factor (void *self, int64_t step, int64_t total, int64_t per_epoch)
{
  (void) self;
  (void) step;
  (void) total;
  (void) per_epoch;
  return 1.0;
}

static const struct qk_schedule_class constant = {
  .cls
  = QK_CLASS_DEFAULT (struct qk_schedule_class, QK_KIND_SCHEDULE, "constant",
                      "The same learning rate throughout", NULL, 100, 0, ""),
  .create = constant_create,
  .destroy = constant_destroy,
  .factor = constant_factor,
};

QK_PLUGIN ("constant", "1.0", "LGPL-2.1-or-later", &constant.cls);
