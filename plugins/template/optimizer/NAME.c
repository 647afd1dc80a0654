/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: Lion, which moves every weight by the same amount (Chen et al. 2023,
 * arXiv:2302.06675):
 *   w <- w - lr (sign (beta1 m + (1 - beta1) g) + weight_decay w)
 *   m <- beta2 m + (1 - beta2) g
 *
 *   [optimizer]
 *   name = ./NAME.so
 *   lr = 0.0003 */
#include <stdlib.h>

#include <qatkit/optimizer.h>

struct NAME {
  float beta1, beta2, weight_decay;
};

/* Every optimizer has an option lr; the library multiplies it by the
 * schedule's factor. */
static const struct qk_option NAME_options[]
  = { { "lr", QK_OPT_FLOAT, "0.0001", 0, 1e6, NULL, "Learning rate" },
      { "beta1", QK_OPT_FLOAT, "0.9", 0, 1, NULL,
        "Part of the momentum in the direction of a step" },
      { "beta2", QK_OPT_FLOAT, "0.99", 0, 1, NULL,
        "Part of the momentum that is kept" },
      { "weight_decay", QK_OPT_FLOAT, "0", 0, 1e6, NULL,
        "Part of the weight that is added to the direction" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

/* When training begins, in each stage of a run. */
static int
NAME_create (const struct qk_config *cfg, void **self)
{
  struct NAME *o = malloc (sizeof *o);

  if (o == NULL)
    return qk_oom ("NAME");
  o->beta1 = (float) qk_config_float (cfg, "beta1");
  o->beta2 = (float) qk_config_float (cfg, "beta2");
  o->weight_decay = (float) qk_config_float (cfg, "weight_decay");
  *self = o;
  return 0;
}

static void
NAME_destroy (void *self)
{
  free (self);
}

/* After create: arrays to keep for every parameter, at most
 * QK_OPTIMIZER_MAX_SLOTS.  They are the library's, zero at first, and kept in
 * checkpoints: an optimizer needs no state of its own. */
static int
NAME_slots (void *self)
{
  (void) self;
  return 1;
}

/* Each step, for each parameter (weights, biases, batch-norm, step sizes of
 * fake-quantizers): move the N numbers W along the gradient G.  s->decay says
 * whether weight decay is meant for this one. */
static void
NAME_step (void *self, const struct qk_optimizer_step *s, float *w,
           const float *g, float *const *slot, size_t n)
{
  const struct NAME *o = self;
  const float decay = s->decay ? o->weight_decay : 0.0f;
  float *m = slot[0];

  for (size_t i = 0; i < n; i++) {
    const float d = o->beta1 * m[i] + (1.0f - o->beta1) * g[i];
    const float sign = (float) ((d > 0.0f) - (d < 0.0f));

    w[i] -= s->lr * (sign + decay * w[i]);
    m[i] = o->beta2 * m[i] + (1.0f - o->beta2) * g[i];
  }
}

/* elementwise: each number moves by its own gradient and slot alone, so that
 * several threads may each call step for a part of a parameter. */
static const struct qk_optimizer_class NAME_class = {
  .cls = QK_CLASS (struct qk_optimizer_class, QK_KIND_OPTIMIZER, "NAME",
                   "Lion: steps of one size, with momentum", NAME_options),
  .create = NAME_create,
  .destroy = NAME_destroy,
  .slots = NAME_slots,
  .step = NAME_step,
  .elementwise = true,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
