/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adamw.c: Adam with decoupled weight decay (Loshchilov and Hutter 2019), as
 * torch.optim.AdamW: moments.h, where
 *   w <- (1 - lr weight_decay) w - lr r
 * so that the decay does not enter the moments. */
#include "config.h"

#include "moments/moments.h"

static const struct qk_option adamw_options[]
  = { MOMENTS_OPTIONS ("0.001", "1e-8"),
      { "weight_decay", QK_OPT_FLOAT, "0.01", 0.0, 1e6, NULL,
        "Part of the weight, times the learning rate, that each step takes "
        "away." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
adamw_create (const struct qk_config *cfg, void **self)
{
  return moments_create (cfg, "adamw", self);
}

static void
adamw_step (void *self, const struct qk_optimizer_step *st, float *w,
            const float *g, float *const *slot, size_t n)
{
  const struct moments *a = self;
  struct moments_step f = moments_factors (a, st);

  if (st->decay)
    f.keep = (float) (1.0 - (double) st->lr * (double) a->weight_decay);
  moments_move (&f, w, g, slot[0], slot[1], n);
}

static const struct qk_optimizer_class adamw = {
  .cls = QK_CLASS (struct qk_optimizer_class, QK_KIND_OPTIMIZER, "adamw",
                   "Adam with weight decay of its own", adamw_options),
  .create = adamw_create,
  .destroy = moments_destroy,
  .slots = moments_slots,
  .step = adamw_step,
  .elementwise = true,
};

QK_PLUGIN ("adamw", "1.0", "LGPL-2.1-or-later", &adamw.cls);
