/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: grids whose scale is a power of two, at most 2^largest. */
#include <math.h>

#include <qatkit/fakequant.h>

/* Everything an instance knows; there is one for each value or weight. */
struct NAME {
  int64_t channels; /* grids to make; 1 = per tensor */
  bool symmetric;   /* weights: zero_point is 0 */
  int largest;
};

/* What the INI may say: weight.fakequant.largest = -4 */
static const struct qk_option NAME_options[]
  = { { "largest", QK_OPT_INT, "8", -30, 30, NULL,
        "Largest exponent of a scale." },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static int
NAME_create (const struct qk_config *cfg, const struct qk_quant_info *info,
             void **self)
{
  struct NAME *f = qk_alloc (sizeof *f);

  if (f == NULL)
    return qk_error (-ENOMEM, "no memory");
  f->channels = info->channels;
  f->symmetric = info->symmetric;
  f->largest = (int) qk_config_int (cfg, "largest");
  *self = f;
  return 0;
}

static void
NAME_destroy (void *self)
{
  qk_free (self);
}

/* The grids, from the observer's ranges; qmin and qmax are preset.  The
 * slots left out have defaults: no learnable parameters, no transform of the
 * numbers, the straight-through gradient. */
static int
NAME_qparams (void *self, const struct qk_fq_params *p, const float *min,
              const float *max, struct qk_qparams *out)
{
  const struct NAME *f = self;

  (void) p;
  for (int64_t c = 0; min != NULL && c < f->channels; c++) {
    int exponent, e = qk_calculate_qparams (min[c], max[c], f->symmetric,
                                            &out[c]);

    if (e < 0)
      return e;
    if (frexpf (out[c].scale, &exponent) == 0.5f)
      exponent--; /* a power of two already */
    if (exponent > f->largest)
      exponent = f->largest;
    out[c].scale = ldexpf (1.0f, exponent);
    if (!f->symmetric && min[c] < 0.0f) {
      const float zero = (float) out[c].qmin - rintf (min[c] / out[c].scale);

      out[c].zero_point = (int32_t) fminf (zero, (float) out[c].qmax);
    }
  }
  return 0;
}

static const struct qk_fakequant_class NAME_class = {
  .cls = QK_CLASS (struct qk_fakequant_class, QK_KIND_FAKEQUANT, "NAME",
                   "Scales that are powers of two", NAME_options),
  .create = NAME_create,
  .destroy = NAME_destroy,
  .qparams = NAME_qparams,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
