/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onecycle.c: one cycle (Smith and Topin 2019), as torch's OneCycleLR without
 * its cycle of the momentum.  lr is the highest rate; the factor goes
 *   from 1 / div_factor to 1 at step pct_start T - 1,
 *   and on to 1 / (div_factor final_div_factor) at step T - 1,
 * or with three_phase back to 1 / div_factor at step 2 pct_start T - 2 first,
 * where T is the number of steps; each way along half a cosine, or a line. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/optimizer.h>
#include <qatkit/tensor.h>

struct onecycle {
  double pct_start, begin, end;
  bool linear, three_phase;
};

static const char *const strategies[] = { "cos", "linear", NULL };

static const struct qk_option onecycle_options[]
  = { { "pct_start", QK_OPT_FLOAT, "0.3", 0.0, 1.0, NULL,
        "Part of all steps in which the learning rate rises." },
      { "div_factor", QK_OPT_FLOAT, "25", 1e-6, 1e9, NULL,
        "lr divided by the learning rate at the beginning." },
      { "final_div_factor", QK_OPT_FLOAT, "10000", 1e-6, 1e12, NULL,
        "Learning rate at the beginning divided by that at the end." },
      { "anneal_strategy", QK_OPT_CHOICE, "cos", 0, 0, strategies,
        "How it changes: along half a cosine, or a line." },
      { "three_phase", QK_OPT_BOOL, "no", 0, 0, NULL,
        "Fall to the first learning rate as fast as it rose, and then to the "
        "last." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
onecycle_create (const struct qk_config *cfg, void **self)
{
  struct onecycle *c;
  const double pct = qk_config_float (cfg, "pct_start");
  const bool three = qk_config_bool (cfg, "three_phase");

  if (three && pct > 0.5)
    return qk_error (
      -EINVAL, "onecycle: three_phase needs pct_start <= 0.5, got %g", pct);
  c = qk_alloc (sizeof *c);
  if (c == NULL)
    return qk_oom ("onecycle");
  c->pct_start = pct;
  c->begin = 1.0 / qk_config_float (cfg, "div_factor");
  c->end = c->begin / qk_config_float (cfg, "final_div_factor");
  c->linear
    = strcmp (qk_config_string (cfg, "anneal_strategy"), "linear") == 0;
  c->three_phase = three;
  *self = c;
  return 0;
}

static void
onecycle_destroy (void *self)
{
  qk_free (self);
}

/* PCT of the way from A to B. */
static double
anneal (const struct onecycle *c, double a, double b, double pct)
{
  const double pi = 3.14159265358979323846;

  if (c->linear)
    return (b - a) * pct + a;
  return b + (a - b) / 2.0 * (cos (pi * pct) + 1.0);
}

static double
onecycle_factor (void *self, int64_t step, int64_t total, int64_t per_epoch)
{
  const struct onecycle *c = self;
  const double rise = c->pct_start * (double) total - 1.0;
  const double fall = c->three_phase ? 2.0 * rise : rise;
  const double last = (double) total - 1.0, t = (double) step;

  (void) per_epoch;
  if (t <= rise)
    return anneal (c, c->begin, 1.0, rise > 0.0 ? t / rise : 1.0);
  if (t <= fall)
    return anneal (c, 1.0, c->begin, (t - rise) / (fall - rise));
  return anneal (c, c->three_phase ? c->begin : 1.0, c->end,
                 (t - fall) / (last - fall));
}

static const struct qk_schedule_class onecycle = {
  .cls = QK_CLASS (struct qk_schedule_class, QK_KIND_SCHEDULE, "onecycle",
                   "One rise of the learning rate, then a long fall",
                   onecycle_options),
  .create = onecycle_create,
  .destroy = onecycle_destroy,
  .factor = onecycle_factor,
};

QK_PLUGIN ("onecycle", "1.0", "LGPL-2.1-or-later", &onecycle.cls);
