/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cosine.c: the learning rate falls along half a cosine to min_factor
 * (Loshchilov and Hutter 2017, without restarts):
 *   m + (1 - m) (1 + cos (pi t / T)) / 2, t = 0 … T - 1. */
#include "config.h"

#include <math.h>

#include <qatkit/optimizer.h>
#include <qatkit/tensor.h>

struct cosine {
  double min_factor;
};

static const struct qk_option cosine_options[]
  = { { "min_factor", QK_OPT_FLOAT, "0", 0.0, 1.0, NULL,
        "Factor on the learning rate that the cosine ends at." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
cosine_create (const struct qk_config *cfg, void **self)
{
  struct cosine *c = qk_alloc (sizeof *c);

  if (c == NULL)
    return qk_oom ("cosine");
  c->min_factor = qk_config_float (cfg, "min_factor");
  *self = c;
  return 0;
}

static void
cosine_destroy (void *self)
{
  qk_free (self);
}

static double
cosine_factor (void *self, int64_t step, int64_t total, int64_t per_epoch)
{
  const struct cosine *c = self;
  const double pi = 3.14159265358979323846;
  const double t = (double) step, all = (double) total;

  (void) per_epoch;
  return c->min_factor
         + (1.0 - c->min_factor) * 0.5 * (1.0 + cos (pi * t / all));
}

static const struct qk_schedule_class cosine = {
  .cls = QK_CLASS (struct qk_schedule_class, QK_KIND_SCHEDULE, "cosine",
                   "Half a cosine down", cosine_options),
  .create = cosine_create,
  .destroy = cosine_destroy,
  .factor = cosine_factor,
};

QK_PLUGIN ("cosine", "1.0", "LGPL-2.1-or-later", &cosine.cls);
