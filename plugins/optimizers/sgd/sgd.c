/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sgd.c: stochastic gradient descent with momentum, as torch.optim.SGD:
 *   d = g + weight_decay w
 *   b = d at the first step, then momentum b + (1 - dampening) d
 *   d = b, or with nesterov d + momentum b
 *   w <- w - lr d
 * in float32, each "a + c b" one fused multiply-add, as PyTorch's kernels
 * compute it. */
#include "config.h"

#include <math.h>

#include <qatkit/cpu.h>
#include <qatkit/optimizer.h>
#include <qatkit/tensor.h>

struct sgd {
  float momentum, one_minus_dampening, weight_decay;
  bool nesterov;
};

static const struct qk_option sgd_options[]
  = { { "lr", QK_OPT_FLOAT, "0.01", 0.0, 1e6, NULL, "Learning rate." },
      { "momentum", QK_OPT_FLOAT, "0", 0.0, 1.0, NULL,
        "Part of the last step's direction that is kept." },
      { "dampening", QK_OPT_FLOAT, "0", 0.0, 1.0, NULL,
        "Part of the gradient that does not enter the momentum." },
      { "nesterov", QK_OPT_BOOL, "no", 0, 0, NULL,
        "Look ahead along the momentum; needs momentum and no dampening." },
      { "weight_decay", QK_OPT_FLOAT, "0", 0.0, 1e6, NULL,
        "Part of the weight added to its gradient." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
sgd_create (const struct qk_config *cfg, void **self)
{
  struct sgd *s;
  const double momentum = qk_config_float (cfg, "momentum");
  const double dampening = qk_config_float (cfg, "dampening");
  const bool nesterov = qk_config_bool (cfg, "nesterov");

  if (nesterov && (momentum <= 0.0 || dampening != 0.0))
    return qk_error (-EINVAL,
                     "sgd: nesterov needs momentum > 0 and dampening 0, got "
                     "momentum %g and dampening %g",
                     momentum, dampening);
  s = qk_alloc (sizeof *s);
  if (s == NULL)
    return qk_oom ("sgd");
  s->momentum = (float) momentum;
  s->one_minus_dampening = (float) (1.0 - dampening);
  s->weight_decay = (float) qk_config_float (cfg, "weight_decay");
  s->nesterov = nesterov;
  *self = s;
  return 0;
}

static void
sgd_destroy (void *self)
{
  qk_free (self);
}

static int
sgd_slots (void *self)
{
  const struct sgd *s = self;

  return s->momentum != 0.0f ? 1 : 0;
}

QK_LOOP (static, sgd_block_plain,
         (float *restrict w, const float *restrict g, size_t n, float lr,
          float decay),
         (w, g, n, lr, decay))
{
  for (size_t i = 0; i < n; i++)
    w[i] = fmaf (-lr, fmaf (decay, w[i], g[i]), w[i]);
}

QK_LOOP (static, sgd_block_momentum,
         (const struct sgd *s, float *restrict w, const float *restrict g,
          float *restrict b, size_t n, float lr, float decay, bool first),
         (s, w, g, b, n, lr, decay, first))
{
  const float momentum = first ? 0.0f : s->momentum;
  const float take = first ? 1.0f : s->one_minus_dampening;
  const float ahead = s->nesterov ? s->momentum : 1.0f;
  const float plain = s->nesterov ? 1.0f : 0.0f;

  for (size_t i = 0; i < n; i++) {
    const float d = fmaf (decay, w[i], g[i]);
    const float v = fmaf (take, d, b[i] * momentum);

    b[i] = v;
    w[i] = fmaf (-lr, fmaf (ahead, v, plain * d), w[i]);
  }
}

static void
sgd_step (void *self, const struct qk_optimizer_step *st, float *w,
          const float *g, float *const *slot, size_t n)
{
  const struct sgd *s = self;
  const float decay = st->decay ? s->weight_decay : 0.0f;

  if (s->momentum != 0.0f)
    sgd_block_momentum (s, w, g, slot[0], n, st->lr, decay, st->t == 0);
  else
    sgd_block_plain (w, g, n, st->lr, decay);
}

static const struct qk_optimizer_class sgd = {
  .cls = QK_CLASS_DEFAULT (struct qk_optimizer_class, QK_KIND_OPTIMIZER, "sgd",
                           "Stochastic gradient descent with momentum",
                           sgd_options, 100, 0, ""),
  .create = sgd_create,
  .destroy = sgd_destroy,
  .slots = sgd_slots,
  .step = sgd_step,
  .elementwise = true,
};

QK_PLUGIN ("sgd", "1.0", "LGPL-2.1-or-later", &sgd.cls);
