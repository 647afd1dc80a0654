/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_good.c: a whole observer that remembers the last range. */
#include <stdlib.h>
#include <string.h>

#include "qatkit/observer.h"

struct good {
  float min, max;
};

static int
good_create (const struct qk_config *cfg, const struct qk_quant_info *info,
             void **self)
{
  struct good *g = calloc (1, sizeof *g);

  (void) info;
  if (!g)
    return qk_oom ("tp_good");
  g->max = (float) qk_config_int (cfg, "start");
  *self = g;
  return 0;
}

static void
good_destroy (void *self)
{
  free (self);
}

static int
good_update_range (void *self, const float *min, const float *max)
{
  struct good *g = self;

  g->min = min[0];
  g->max = max[0];
  return 0;
}

static int
good_range (void *self, float *min, float *max)
{
  const struct good *g = self;

  min[0] = g->min;
  max[0] = g->max;
  return 0;
}

static const struct qk_option options[]
  = { { "start", QK_OPT_INT, "7", 1, 100, NULL, "First maximum." },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static const struct qk_observer_class good = {
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "tp_good",
                   "The last range seen", options),
  .create = good_create,
  .destroy = good_destroy,
  .update_range = good_update_range,
  .range = good_range,
};

QK_PLUGIN ("tp_good", "1.2", "LGPL-2.1-or-later", &good.cls);
