/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fixed.c: the range that the options say, whatever the values are. */
#include "config.h"

#include <qatkit/observer.h>

struct fixed {
  const struct qk_quant_info *info;
  float min, max;
};

static const struct qk_option fixed_options[]
  = { { "min", QK_OPT_FLOAT, NULL, -1e30, 1e30, NULL,
        "Lower end of the range." },
      { "max", QK_OPT_FLOAT, NULL, -1e30, 1e30, NULL,
        "Upper end of the range, above min." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
fixed_create (const struct qk_config *cfg, const struct qk_quant_info *info,
              void **self)
{
  struct fixed *f = *self;

  (void) info; /* f->info */
  f->min = (float) qk_config_float (cfg, "min");
  f->max = (float) qk_config_float (cfg, "max");
  if (!(f->min < f->max))
    return qk_error (-EINVAL, "%s: max must be above min %g, got %g",
                     qk_config_where (cfg, "max"), (double) f->min,
                     (double) f->max);
  return 0;
}

static int
fixed_update_range (void *self, const float *min, const float *max)
{
  (void) self;
  (void) min;
  (void) max;
  return 0;
}

static int
fixed_range (void *self, float *min, float *max)
{
  const struct fixed *f = self;

  for (int64_t c = 0; c < f->info->channels; c++) {
    min[c] = f->min;
    max[c] = f->max;
  }
  return 0;
}

QK_OBSERVER (fixed, "1.0", "LGPL-2.1-or-later", "Range given by the options",
             fixed_options, .create = fixed_create,
             .update_range = fixed_update_range, .range = fixed_range,
             .self_size = sizeof (struct fixed));
