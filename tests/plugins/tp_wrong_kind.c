/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_wrong_kind.c: a schedule, to be put into the folder of observers. */
#include "qatkit/optimizer.h"

static int
wrong_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  *self = NULL;
  return 0;
}

static void
wrong_destroy (void *self)
{
  (void) self;
}

static double
wrong_factor (void *self, int64_t step, int64_t total, int64_t per_epoch)
{
  (void) self;
  (void) step;
  (void) total;
  (void) per_epoch;
  return 1;
}

static const struct qk_schedule_class schedule = {
  .cls = QK_CLASS (struct qk_schedule_class, QK_KIND_SCHEDULE, "tp_wrong_kind",
                   "For tests", NULL),
  .create = wrong_create,
  .destroy = wrong_destroy,
  .factor = wrong_factor,
};

QK_PLUGIN ("tp_wrong_kind", "1", "LGPL-2.1-or-later", &schedule.cls);
