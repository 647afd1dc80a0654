/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: scales that are powers of two, at most 2^largest.
 *
 *   [qconfig]
 *   weight.fakequant = ./NAME.so
 *   weight.fakequant.largest = -4 */
#include <math.h>

#include <qatkit/fakequant.h>

/* Everything an instance knows; the library makes one, zeroed, for each value
 * or weight. */
struct NAME {
  const struct qk_quant_info *info; /* what is quantized, set by the library */
  int largest;
};

/* What the INI may say: name, type, default, smallest and largest, choices,
 * help.  The library checks it and tells file and line of a fault. */
static const struct qk_option NAME_options[]
  = { { "largest", QK_OPT_INT, "8", -30, 30, NULL,
        "Largest exponent of a scale." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

/* When the network is prepared, once for each value and weight, which INFO
 * describes: take the options; refuse what makes no sense with
 * qk_error (-EINVAL, …).  CFG is borrowed for the call.
 * (optional where self_size is given, and so is destroy) */
static int
NAME_create (const struct qk_config *cfg, const struct qk_quant_info *info,
             void **self)
{
  struct NAME *f = *self;

  (void) info; /* f->info */
  f->largest = (int) qk_config_int (cfg, "largest");
  return 0;
}

/* Whenever the observer's range or a parameter has changed: scale and zero_point
 * of each channel, from the ranges MIN and MAX (NULL: nothing has been seen);
 * qmin and qmax are preset.  The integers are then always
 *   q = clamp (rne (x / scale) + zero_point, qmin, qmax)
 * in training as in the int8 network.  The slots left out have defaults: no
 * learnable parameters (params, init), no transform of the weights, the
 * straight-through gradient (backward), no state. */
static int
NAME_qparams (void *self, const struct qk_fq_params *p, const float *min,
              const float *max, struct qk_qparams *out)
{
  const struct NAME *f = self;

  (void) p;
  for (int64_t c = 0; min != NULL && c < f->info->channels; c++) {
    const int e
      = qk_calculate_qparams (min[c], max[c], f->info->symmetric, &out[c]);
    int exponent;

    if (e < 0)
      return e;
    if (frexpf (out[c].scale, &exponent) == 0.5f)
      exponent--; /* a power of two already */
    if (exponent > f->largest)
      exponent = f->largest;
    out[c].scale = ldexpf (1.0f, exponent);
    if (!f->info->symmetric && min[c] < 0.0f) {
      const float zero = (float) out[c].qmin - rintf (min[c] / out[c].scale);

      out[c].zero_point = (int32_t) fminf (zero, (float) out[c].qmax);
    }
  }
  return 0;
}

QK_FAKEQUANT (NAME, "1.0", "LGPL-2.1-or-later",
              "Scales that are powers of two", NAME_options,
              .self_size = sizeof (struct NAME), .create = NAME_create,
              .qparams = NAME_qparams);
