/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: the learning rate rises for some epochs, then falls on a straight
 * line.
 *
 *   [schedule]
 *   name = ./NAME.so
 *   warmup = 2 */
#include <stdlib.h>

#include <qatkit/optimizer.h>

struct NAME {
  double warmup, last;
};

static const struct qk_option NAME_options[]
  = { { "warmup", QK_OPT_FLOAT, "1", 0, 1e6, NULL,
        "Epochs in which the learning rate rises from 0; 0 = none" },
      { "last", QK_OPT_FLOAT, "0.01", 0, 1, NULL,
        "Factor on the learning rate at the end" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

/* When training begins, in each stage of a run. */
static int
NAME_create (const struct qk_config *cfg, void **self)
{
  struct NAME *s = malloc (sizeof *s);

  if (s == NULL)
    return qk_oom ("NAME");
  s->warmup = qk_config_float (cfg, "warmup");
  s->last = qk_config_float (cfg, "last");
  *self = s;
  return 0;
}

static void
NAME_destroy (void *self)
{
  free (self);
}

/* Before each step: the factor on the optimizer's lr at step STEP of TOTAL,
 * 0 <= step < total, PER_EPOCH of them an epoch.  It depends on its arguments
 * alone, so that a resumed run goes on as if it had not been stopped. */
static double
NAME_factor (void *self, int64_t step, int64_t total, int64_t per_epoch)
{
  const struct NAME *s = self;
  const double warmup = s->warmup * (double) per_epoch;
  const double at = (double) step + 1, end = (double) total;

  if (at <= warmup)
    return at / warmup;
  return end > warmup ? 1 - (1 - s->last) * (at - warmup) / (end - warmup) : 1;
}

static const struct qk_schedule_class NAME_class = {
  .cls = QK_CLASS (struct qk_schedule_class, QK_KIND_SCHEDULE, "NAME",
                   "Linear warm-up, then linear decay", NAME_options),
  .create = NAME_create,
  .destroy = NAME_destroy,
  .factor = NAME_factor,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
