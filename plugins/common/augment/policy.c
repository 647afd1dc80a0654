/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* policy.c: RandAugment (arXiv 1909.13719) and TrivialAugment in its wide
 * space (arXiv 2103.10158), with torchvision's operations and magnitudes. */
#include "config.h"

#include <math.h>

#include "augment.h"

#define PI 3.14159265358979323846

/* The ranges of magnitudes; translations of RandAugment are shares of the
 * side, those of TrivialAugmentWide pixels. */
struct range {
  double randaugment, wide;
  bool is_signed;
};

static const struct range ranges[POLICY_OPS] = {
  [POLICY_SHEAR_X] = { 0.3, 0.99, true },
  [POLICY_SHEAR_Y] = { 0.3, 0.99, true },
  [POLICY_TRANSLATE_X] = { 150.0 / 331.0, 32, true },
  [POLICY_TRANSLATE_Y] = { 150.0 / 331.0, 32, true },
  [POLICY_ROTATE] = { 30, 135, true },
  [POLICY_BRIGHTNESS] = { 0.9, 0.99, true },
  [POLICY_COLOR] = { 0.9, 0.99, true },
  [POLICY_CONTRAST] = { 0.9, 0.99, true },
  [POLICY_SHARPNESS] = { 0.9, 0.99, true },
  [POLICY_POSTERIZE] = { 4, 6, false }, /* bits less than 8 */
  [POLICY_SOLARIZE] = { 255, 255, false },
};

/* Number I of N from FROM to TO, counted from the nearer end. */
static float
spaced (float from, float to, int i, int n)
{
  const float step = (to - from) / (float) (n - 1);

  return i < n / 2 ? from + step * (float) i : to - step * (float) (n - 1 - i);
}

double
policy_magnitude (enum augment_policy policy, enum policy_op op, int bin,
                  int bins, int64_t h, int64_t w, bool *is_signed)
{
  const bool wide = policy == AUGMENT_TRIVIAL;
  double most = wide ? ranges[op].wide : ranges[op].randaugment;

  *is_signed = ranges[op].is_signed;
  if (op == POLICY_POSTERIZE)
    return 8.0 - (double) rintf ((float) bin / (float) ((bins - 1) / most));
  if (op == POLICY_SOLARIZE)
    return (double) spaced ((float) most, 0.0f, bin, bins);
  if (!wide && op == POLICY_TRANSLATE_X)
    most *= (double) w;
  else if (!wide && op == POLICY_TRANSLATE_Y)
    most *= (double) h;
  return (double) spaced (0.0f, (float) most, bin, bins);
}

/* Shears are around the first pixel. */
static void
shear (struct raster *r, double x, double y, const struct raster_move *how)
{
  const struct raster_warp w = { .scale = 1,
                                 .shear_x = atan (x) * (180.0 / PI),
                                 .shear_y = atan (y) * (180.0 / PI) };

  raster_warp (r, &w, how);
}

static void
translate (struct raster *r, int64_t x, int64_t y,
           const struct raster_move *how)
{
  const struct raster_warp w = { .scale = 1,
                                 .move_x = x,
                                 .move_y = y,
                                 .center_x = (double) r->w * 0.5,
                                 .center_y = (double) r->h * 0.5 };

  raster_warp (r, &w, how);
}

void
policy_apply (struct raster *r, enum policy_op op, double magnitude,
              const struct raster_move *how)
{
  switch (op) {
  case POLICY_SHEAR_X:
    shear (r, magnitude, 0, how);
    break;
  case POLICY_SHEAR_Y:
    shear (r, 0, magnitude, how);
    break;
  case POLICY_TRANSLATE_X:
    translate (r, (int64_t) magnitude, 0, how);
    break;
  case POLICY_TRANSLATE_Y:
    translate (r, 0, (int64_t) magnitude, how);
    break;
  case POLICY_ROTATE:
    raster_rotate (r, magnitude, how);
    break;
  case POLICY_BRIGHTNESS:
    raster_brightness (r, 1.0 + magnitude);
    break;
  case POLICY_COLOR:
    raster_saturation (r, 1.0 + magnitude);
    break;
  case POLICY_CONTRAST:
    raster_contrast (r, 1.0 + magnitude);
    break;
  case POLICY_SHARPNESS:
    raster_sharpness (r, 1.0 + magnitude);
    break;
  case POLICY_POSTERIZE:
    raster_posterize (r, (int) magnitude);
    break;
  case POLICY_SOLARIZE:
    raster_solarize (r, magnitude);
    break;
  case POLICY_AUTOCONTRAST:
    raster_autocontrast (r);
    break;
  case POLICY_EQUALIZE:
    raster_equalize (r);
    break;
  case POLICY_IDENTITY:
  case POLICY_OPS:
    break;
  }
}

void
policy_run (const struct augment *a, struct raster *r, struct qk_rng *rng)
{
  const bool wide = a->policy == AUGMENT_TRIVIAL;
  const int n = wide ? 1 : a->ops;

  for (int i = 0; i < n; i++) {
    const enum policy_op op = (enum policy_op) qk_rng_below (rng, POLICY_OPS);
    const int bin
      = wide ? (int) qk_rng_below (rng, (uint64_t) a->bins) : a->magnitude;
    bool is_signed;
    double m
      = policy_magnitude (a->policy, op, bin, a->bins, r->h, r->w, &is_signed);

    if (is_signed && qk_rng_below (rng, 2) == 1)
      m = -m;
    policy_apply (r, op, m, &a->how);
  }
}
