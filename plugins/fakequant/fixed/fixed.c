/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fixed.c: the grid that the options say, whatever the values are, and the
 * clipped straight-through estimator. */
#include "config.h"

#include <qatkit/fakequant.h>

struct fixed {
  const struct qk_quant_info *info;
  float scale;
  int32_t zero_point;
};

static const struct qk_option fixed_options[]
  = { { "scale", QK_OPT_FLOAT, NULL, 1e-30, 1e30, NULL,
        "Step between neighbouring quantized numbers." },
      { "zero_point", QK_OPT_INT, "0", -128, QK_U16_MAX, NULL,
        "Integer that stands for 0; 0 for weights." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
fixed_create (const struct qk_config *cfg, const struct qk_quant_info *info,
              void **self)
{
  const int64_t zero = qk_config_int (cfg, "zero_point");
  const int32_t low = info->weight ? 0 : info->qmin;
  const int32_t high = info->weight ? 0 : info->qmax;
  struct fixed *f = *self;

  if (zero < low || zero > high)
    return qk_error (-EINVAL, "%s: zero_point must be %d to %d, got %lld",
                     qk_config_where (cfg, "zero_point"), (int) low,
                     (int) high, (long long) zero);
  f->scale = (float) qk_config_float (cfg, "scale");
  f->zero_point = (int32_t) zero;
  return 0;
}

static int
fixed_qparams (void *self, const struct qk_fq_params *p, const float *min,
               const float *max, struct qk_qparams *out)
{
  const struct fixed *f = self;

  (void) p;
  (void) min;
  (void) max;
  for (int64_t c = 0; c < f->info->channels; c++) {
    out[c].scale = f->scale;
    out[c].zero_point = f->zero_point;
  }
  return 0;
}

static int
fixed_change_bits (void *self, struct qk_fq_params *p,
                   const struct qk_quant_info *old)
{
  const struct fixed *f = self;

  (void) p;
  return qk_error (
    -EINVAL,
    "a fixed scale is for one number of bits, expected no list, "
    "got %d bits after %d",
    f->info->bits, old->bits);
}

QK_FAKEQUANT (fixed, "1.0", "LGPL-2.1-or-later",
              "Scale and zero point by options, straight-through",
              fixed_options, .create = fixed_create, .qparams = fixed_qparams,
              .self_size = sizeof (struct fixed),
              .change_bits = fixed_change_bits);
