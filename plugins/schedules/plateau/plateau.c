/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plateau.c: the learning rate falls when a score no longer gets better, as
 * torch's ReduceLROnPlateau: where more than patience epochs in a row have not
 * been better than the best by the threshold, it is multiplied by factor, and
 * cooldown epochs pass before bad ones are counted again. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/optimizer.h>
#include <qatkit/tensor.h>

struct plateau {
  double factor, threshold, min_factor;
  int64_t patience, cooldown;
  bool relative;

  /* what a checkpoint keeps */
  double now, best;
  int64_t bad, cooling, seen;
};

static const char *const modes[] = { "rel", "abs", NULL };

static const struct qk_option plateau_options[]
  = { { "factor", QK_OPT_FLOAT, "0.1", 0.0, 0.999999, NULL,
        "Factor on the learning rate at each change." },
      { "patience", QK_OPT_INT, "10", 0, 1e6, NULL,
        "Epochs in a row without improvement that change nothing yet." },
      { "threshold", QK_OPT_FLOAT, "0.0001", 0.0, 1e9, NULL,
        "What counts as an improvement of the score." },
      { "threshold_mode", QK_OPT_CHOICE, "rel", 0, 0, modes,
        "Whether the threshold is a part of the best score, or a "
        "difference." },
      { "cooldown", QK_OPT_INT, "0", 0, 1e6, NULL,
        "Epochs after a change in which none counts as bad." },
      { "min_factor", QK_OPT_FLOAT, "0", 0.0, 1.0, NULL,
        "Factor on the learning rate below which it does not fall." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
plateau_create (const struct qk_config *cfg, void **self)
{
  struct plateau *p = qk_alloc (sizeof *p);

  if (p == NULL)
    return qk_oom ("plateau");
  memset (p, 0, sizeof *p);
  p->factor = qk_config_float (cfg, "factor");
  p->patience = qk_config_int (cfg, "patience");
  p->threshold = qk_config_float (cfg, "threshold");
  p->relative = strcmp (qk_config_string (cfg, "threshold_mode"), "rel") == 0;
  p->cooldown = qk_config_int (cfg, "cooldown");
  p->min_factor = qk_config_float (cfg, "min_factor");
  p->now = 1.0;
  *self = p;
  return 0;
}

static void
plateau_destroy (void *self)
{
  qk_free (self);
}

static double
plateau_factor (void *self, int64_t step, int64_t total, int64_t per_epoch)
{
  const struct plateau *p = self;

  (void) step;
  (void) total;
  (void) per_epoch;
  return p->now;
}

/* Whether SCORE is better than the best by the threshold. */
static bool
is_better (const struct plateau *p, double score, bool larger)
{
  const double sign = larger ? 1.0 : -1.0;
  const double than = p->relative ? p->best * (1.0 + sign * p->threshold)
                                  : p->best + sign * p->threshold;

  if (p->seen == 0)
    return !isnan (score);
  return larger ? score > than : score < than;
}

static void
plateau_epoch (void *self, double score, bool larger_is_better)
{
  struct plateau *p = self;

  if (is_better (p, score, larger_is_better)) {
    p->best = score;
    p->bad = 0;
    p->seen = 1;
  } else
    p->bad++;
  if (p->cooling > 0) {
    p->cooling--;
    p->bad = 0;
  }
  if (p->bad > p->patience) {
    p->now = fmax (p->now * p->factor, p->min_factor);
    p->cooling = p->cooldown;
    p->bad = 0;
  }
}

static int
plateau_state (void *self, struct qk_state *st)
{
  struct plateau *p = self;
  int r = qk_state_add (st, "factor", QK_F64, &p->now, 1);

  if (r == 0)
    r = qk_state_add (st, "best", QK_F64, &p->best, 1);
  if (r == 0)
    r = qk_state_add (st, "bad", QK_I64, &p->bad, 1);
  if (r == 0)
    r = qk_state_add (st, "cooling", QK_I64, &p->cooling, 1);
  return r == 0 ? qk_state_add (st, "seen", QK_I64, &p->seen, 1) : r;
}

static const struct qk_schedule_class plateau = {
  .cls = QK_CLASS (struct qk_schedule_class, QK_KIND_SCHEDULE, "plateau",
                   "Learning rate falls when a score stops getting better",
                   plateau_options),
  .create = plateau_create,
  .destroy = plateau_destroy,
  .factor = plateau_factor,
  .epoch = plateau_epoch,
  .state = plateau_state,
};

QK_PLUGIN ("plateau", "1.0", "LGPL-2.1-or-later", &plateau.cls);
