/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* minmax.c: the smallest and largest value ever seen, per tensor or per
 * channel (PyTorch's MinMaxObserver and PerChannelMinMaxObserver):
 *   min <- min (min, min x), max <- max (max, max x) */
#include "config.h"

#include <qatkit/observer.h>

#include "range/range.h"

static int
minmax_create (const struct qk_config *cfg, const struct qk_quant_info *info,
               void **self)
{
  struct range *r = qk_alloc (sizeof *r);
  int e;

  (void) cfg;
  if (r == NULL)
    return qk_oom ("minmax");
  e = range_init (r, info);
  if (e < 0) {
    qk_free (r);
    return e;
  }
  *self = r;
  return 0;
}

static void
minmax_destroy (void *self)
{
  if (self != NULL)
    range_clear (self);
  qk_free (self);
}

static int
minmax_update_range (void *self, const float *min, const float *max)
{
  range_widen (self, min, max);
  return 0;
}

static int
minmax_range (void *self, float *min, float *max)
{
  return range_get (self, min, max);
}

static int
minmax_state (void *self, struct qk_state *st)
{
  return range_state (self, st);
}

static const struct qk_observer_class minmax = {
  .cls = QK_CLASS_DEFAULT (struct qk_observer_class, QK_KIND_OBSERVER,
                           "minmax", "Smallest and largest element seen", NULL,
                           90, QK_FOR_PTQ_ACTIVATION | QK_FOR_PTQ_WEIGHT, ""),
  .create = minmax_create,
  .destroy = minmax_destroy,
  .update_range = minmax_update_range,
  .range = minmax_range,
  .state = minmax_state,
};

QK_PLUGIN ("minmax", "1.0", "LGPL-2.1-or-later", &minmax.cls);
