/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* adam.c: Adam (Kingma and Ba 2015), as torch.optim.Adam: moments.h with weight
 * decay as a part of the gradient. */
#include "config.h"

#include "moments/moments.h"

static const struct qk_option adam_options[]
  = { MOMENTS_OPTIONS ("0.001", "1e-8"),
      { "weight_decay", QK_OPT_FLOAT, "0", 0.0, 1e6, NULL,
        "Part of the weight added to its gradient." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
adam_create (const struct qk_config *cfg, void **self)
{
  return moments_create (cfg, "adam", self);
}

static void
adam_step (void *self, const struct qk_optimizer_step *st, float *w,
           const float *g, float *const *slot, size_t n)
{
  const struct moments *a = self;
  struct moments_step f = moments_factors (a, st);

  f.coupled = st->decay ? a->weight_decay : 0.0f;
  moments_move (&f, w, g, slot[0], slot[1], n);
}

static const struct qk_optimizer_class adam = {
  .cls
  = QK_CLASS (struct qk_optimizer_class, QK_KIND_OPTIMIZER, "adam",
              "Adam, steps scaled by the gradient's moments", adam_options),
  .create = adam_create,
  .destroy = moments_destroy,
  .slots = moments_slots,
  .step = adam_step,
  .elementwise = true,
};

QK_PLUGIN ("adam", "1.0", "LGPL-2.1-or-later", &adam.cls);
