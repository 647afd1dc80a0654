/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* step.c: the learning rate is multiplied by gamma every step_size epochs
 * (torch's StepLR), or at each of the given epochs (MultiStepLR). */
#include "config.h"

#include <math.h>

#include <qatkit/optimizer.h>
#include <qatkit/tensor.h>

#define STEP_MAX_MILESTONES 64

struct step {
  int64_t size; /* epochs */
  double gamma;
  int n; /* 0: use size */
  float milestone[STEP_MAX_MILESTONES];
};

static const struct qk_option step_options[]
  = { { "step_size", QK_OPT_INT, "30", 1, 1e9, NULL,
        "Epochs between two changes." },
      { "gamma", QK_OPT_FLOAT, "0.1", 0.0, 1e6, NULL,
        "Factor on the learning rate at each change." },
      { "milestones", QK_OPT_FLOATS, "", 0.0, 1e9, NULL,
        "Epochs (from 0) of the changes, instead of step_size." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
step_create (const struct qk_config *cfg, void **self)
{
  struct step *s = qk_alloc (sizeof *s);

  if (s == NULL)
    return qk_oom ("step");
  s->size = qk_config_int (cfg, "step_size");
  s->gamma = qk_config_float (cfg, "gamma");
  s->n
    = qk_config_floats (cfg, "milestones", s->milestone, STEP_MAX_MILESTONES);
  if (s->n > STEP_MAX_MILESTONES) {
    const int n = s->n;

    qk_free (s);
    return qk_error (-EINVAL, "step: %d milestones, at most %d are possible",
                     n, STEP_MAX_MILESTONES);
  }
  *self = s;
  return 0;
}

static void
step_destroy (void *self)
{
  qk_free (self);
}

static double
step_factor (void *self, int64_t step, int64_t total, int64_t per_epoch)
{
  const struct step *s = self;
  const int64_t epoch = step / (per_epoch > 0 ? per_epoch : 1);
  int64_t changes = 0;

  (void) total;
  if (s->n == 0)
    return pow (s->gamma, (double) (epoch / s->size));
  for (int i = 0; i < s->n; i++)
    changes += (double) epoch >= (double) s->milestone[i];
  return pow (s->gamma, (double) changes);
}

static const struct qk_schedule_class step = {
  .cls = QK_CLASS (struct qk_schedule_class, QK_KIND_SCHEDULE, "step",
                   "Learning rate falls by a factor every few epochs",
                   step_options),
  .create = step_create,
  .destroy = step_destroy,
  .factor = step_factor,
};

QK_PLUGIN ("step", "1.0", "LGPL-2.1-or-later", &step.cls);
