/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ewgs.c: affine quantization whose gradient is scaled element by element (Lee
 * et al. 2021, arXiv:2104.00903).
 *
 * With v = x / s + zp, r = rne (x / s) + zp:
 *   dx = dy (1 + d sign (dy) (v - r))  where qmin <= r <= qmax, else 0
 * Descent moves x by -dx: what moves on beyond the nearest integer moves slower
 * than what comes to it.  The paper counts the distance in parts of the range,
 * so that its factor is d (qmax - qmin). */
#include "config.h"

#include <qatkit/fakequant.h>
#include <qatkit/numeric.h>

struct ewgs {
  const struct qk_quant_info *info;
  float factor;
};

static const struct qk_option ewgs_options[]
  = { { "factor", QK_OPT_FLOAT, "0.2", 0, 10, NULL,
        "Part of the distance to the nearest integer by which gradients are "
        "scaled; 0 = straight through" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static int
ewgs_create (const struct qk_config *cfg, const struct qk_quant_info *info,
             void **self)
{
  struct ewgs *e = *self;

  (void) info;
  e->factor = (float) qk_config_float (cfg, "factor");
  return 0;
}

static int
ewgs_backward (void *self, const struct qk_fq_params *p,
               const struct qk_qparams *q, const float *x, const float *dy,
               float *dx, size_t n)
{
  const struct ewgs *e = self;
  const size_t channels = (size_t) e->info->channels, block = n / channels;

  (void) p;
  for (size_t c = 0; c < channels; c++) {
    const float inv = 1.0f / q[c].scale;
    const float lo = (float) (q[c].qmin - q[c].zero_point);
    const float hi = (float) (q[c].qmax - q[c].zero_point);

    for (size_t i = c * block; i < (c + 1) * block; i++) {
      const float v = x[i] * inv, r = qk_rne (v);
      const float apart = dy[i] < 0.0f ? r - v : v - r;

      dx[i] = r >= lo && r <= hi ? dy[i] * (1.0f + e->factor * apart) : 0.0f;
    }
  }
  return 0;
}

QK_FAKEQUANT (ewgs, "1.0", "LGPL-2.1-or-later",
              "Affine, gradients scaled by the distance to the integer",
              ewgs_options, .create = ewgs_create, .backward = ewgs_backward,
              .self_size = sizeof (struct ewgs));
