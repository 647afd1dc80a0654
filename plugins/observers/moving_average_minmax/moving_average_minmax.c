/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moving_average_minmax.c: a moving average of the batches' ranges, per
 * tensor or per channel (PyTorch's MovingAverageMinMaxObserver and
 * MovingAveragePerChannelMinMaxObserver).  The first batch gives the range,
 * then, in float32, min <- min + c (min x - min), likewise max. */
#include "config.h"

#include <qatkit/observer.h>

#include "range/range.h"

struct moving_average {
  struct range range;
  float constant;
};

static const struct qk_option moving_average_options[]
  = { { "averaging_constant", QK_OPT_FLOAT, "0.01", 0.0, 1.0, NULL,
        "Weight of a new batch; 1 forgets all earlier ones." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
moving_average_create (const struct qk_config *cfg,
                       const struct qk_quant_info *info, void **self)
{
  struct moving_average *m = qk_alloc (sizeof *m);
  int e;

  if (m == NULL)
    return qk_oom ("moving_average_minmax");
  m->constant = (float) qk_config_float (cfg, "averaging_constant");
  e = range_init (&m->range, info);
  if (e < 0) {
    qk_free (m);
    return e;
  }
  *self = m;
  return 0;
}

static void
moving_average_destroy (void *self)
{
  struct moving_average *m = self;

  if (m != NULL)
    range_clear (&m->range);
  qk_free (m);
}

static int
moving_average_update_range (void *self, const float *min, const float *max)
{
  struct moving_average *m = self;
  struct range *r = &m->range;
  const bool first = !range_seen (r);

  for (size_t c = 0; c < r->channels; c++) {
    r->min[c]
      = first ? min[c] : r->min[c] + m->constant * (min[c] - r->min[c]);
    r->max[c]
      = first ? max[c] : r->max[c] + m->constant * (max[c] - r->max[c]);
  }
  return 0;
}

static int
moving_average_range (void *self, float *min, float *max)
{
  struct moving_average *m = self;

  return range_get (&m->range, min, max);
}

static int
moving_average_state (void *self, struct qk_state *st)
{
  struct moving_average *m = self;

  return range_state (&m->range, st);
}

static const struct qk_observer_class moving_average = {
  .cls = QK_CLASS_DEFAULT (
    struct qk_observer_class, QK_KIND_OBSERVER, "moving_average_minmax",
    "Moving average of the minimum and maximum of each batch",
    moving_average_options, 100, QK_FOR_QAT_ACTIVATION | QK_FOR_QAT_WEIGHT,
    ""),
  .create = moving_average_create,
  .destroy = moving_average_destroy,
  .update_range = moving_average_update_range,
  .range = moving_average_range,
  .state = moving_average_state,
};

QK_PLUGIN ("moving_average_minmax", "1.0", "LGPL-2.1-or-later",
           &moving_average.cls);
