/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* augment.c: options, and the random numbers that images are changed by. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "augment.h"

const char *const augment_filters[] = { "nearest", "bilinear", NULL };
const char *const augment_policies[]
  = { "none", "randaugment", "trivial_wide", NULL };
const char *const augment_values[] = { "zero", "normal", NULL };

/* ---- options ----------------------------------------------------------- */

/* A number, or LEAST to 2 of them, into OUT; returns how many. */
static int
read_pair (const struct qk_config *cfg, const char *who, const char *name,
           int least, double out[2])
{
  float x[3] = { 0, 0, 0 };
  const int n = qk_config_floats (cfg, name, x, 3);

  if (n < least || n > 2)
    return qk_error (-EINVAL, "%s: %s (%s) must be %s numbers, got %d", who,
                     name, qk_config_where (cfg, name),
                     least == 2 ? "2" : "1 or 2", n);
  out[0] = (double) x[0];
  out[1] = n == 2 ? (double) x[1] : (double) x[0];
  return n;
}

/* The smaller one first. */
static int
read_range (const struct qk_config *cfg, const char *who, const char *name,
            double out[2])
{
  const int n = read_pair (cfg, who, name, 2, out);

  if (n < 0)
    return n;
  return out[0] <= out[1]
           ? 0
           : qk_error (-EINVAL,
                       "%s: %s (%s) is %g to %g, expected the smaller number "
                       "first",
                       who, name, qk_config_where (cfg, name), out[0], out[1]);
}

static int
read_fill (struct augment *a, const struct qk_config *cfg, const char *who,
           int64_t channels)
{
  float fill[4];
  const int n = qk_config_floats (cfg, "fill", fill, 4);

  if (n != 1 && (n != channels || n > 3))
    return qk_error (-EINVAL,
                     "%s: fill (%s) must be one number or %lld, got %d", who,
                     qk_config_where (cfg, "fill"), (long long) channels, n);
  for (int c = 0; c < 3; c++)
    a->how.fill[c] = (uint8_t) fill[n == 1 ? 0 : c];
  return 0;
}

static int
configure_moves (struct augment *a, const struct qk_config *cfg,
                 const char *who, int64_t channels)
{
  int r;

  a->rotate = qk_config_float (cfg, "rotate");
  a->how.filter
    = strcmp (qk_config_string (cfg, "affine_filter"), "bilinear") == 0
        ? RASTER_BILINEAR
        : RASTER_NEAREST;
  if ((r = read_pair (cfg, who, "translate", 1, a->translate)) < 0
      || (r = read_range (cfg, who, "scale", a->scale)) < 0
      || (r = read_pair (cfg, who, "shear", 1, a->shear)) < 0)
    return r;
  if (r == 1) /* along x alone */
    a->shear[1] = 0;
  a->affine = a->translate[0] > 0 || a->translate[1] > 0 || a->scale[0] != 1
              || a->scale[1] != 1 || a->shear[0] > 0 || a->shear[1] > 0;
  a->moves = a->affine || a->rotate > 0;
  return read_fill (a, cfg, who, channels);
}

int
augment_configure (struct augment *a, const char *name,
                   const struct qk_config *cfg, int64_t channels)
{
  const char *policy = qk_config_string (cfg, "auto_augment");
  int r = configure_moves (a, cfg, name, channels);

  if (r < 0 || (r = read_range (cfg, name, "erase_scale", a->erase_scale)) < 0
      || (r = read_range (cfg, name, "erase_ratio", a->erase_ratio)) < 0)
    return r;
  a->brightness = qk_config_float (cfg, "brightness");
  a->contrast = qk_config_float (cfg, "contrast");
  a->saturation = qk_config_float (cfg, "saturation");
  a->hue = qk_config_float (cfg, "hue");
  a->policy = AUGMENT_NONE;
  for (int i = 0; augment_policies[i] != NULL; i++)
    if (strcmp (policy, augment_policies[i]) == 0)
      a->policy = (enum augment_policy) i;
  a->ops = (int) qk_config_int (cfg, "auto_ops");
  a->bins = (int) qk_config_int (cfg, "auto_bins");
  a->magnitude = (int) qk_config_int (cfg, "auto_magnitude");
  a->erase = qk_config_float (cfg, "erase");
  a->erase_random
    = strcmp (qk_config_string (cfg, "erase_with"), "normal") == 0;
  if (a->magnitude >= a->bins)
    return qk_error (-EINVAL,
                     "%s: auto_magnitude (%s) is %d, expected less than "
                     "auto_bins (%s), %d",
                     name, qk_config_where (cfg, "auto_magnitude"),
                     a->magnitude, qk_config_where (cfg, "auto_bins"),
                     a->bins);
  if (augment_wants_bytes (a) && channels != 1 && channels != 3)
    return qk_error (-EINVAL,
                     "%s: images of %lld channels cannot be turned, nor their "
                     "colours changed, expected 1 or 3",
                     name, (long long) channels);
  return 0;
}

bool
augment_wants_bytes (const struct augment *a)
{
  return a->moves || a->brightness > 0 || a->contrast > 0 || a->saturation > 0
         || a->hue > 0 || a->policy != AUGMENT_NONE;
}

/* ---- random changes ------------------------------------------------------ */

static double
uniform (struct qk_rng *rng, double from, double to)
{
  return from + (to - from) * qk_rng_double (rng);
}

static int64_t
pixels (struct qk_rng *rng, double most)
{
  return (int64_t) rint (uniform (rng, -most, most));
}

/* What RandomAffine draws besides the angle. */
static void
draw_warp (const struct augment *a, const struct raster *r, struct qk_rng *rng,
           struct raster_warp *w)
{
  w->move_x = pixels (rng, a->translate[0] * (double) r->w);
  w->move_y = pixels (rng, a->translate[1] * (double) r->h);
  w->scale = uniform (rng, a->scale[0], a->scale[1]);
  w->shear_x = uniform (rng, -a->shear[0], a->shear[0]);
  w->shear_y = uniform (rng, -a->shear[1], a->shear[1]);
}

static void
move_one (const struct augment *a, const struct raster_warp *w,
          struct raster *r, const struct raster_move *how)
{
  if (a->affine)
    raster_warp (r, w, how);
  else
    raster_rotate (r, w->degrees, how);
}

static void
move (const struct augment *a, struct raster *r,
      const struct augment_mask *mask, struct qk_rng *rng)
{
  struct raster_warp w = { .degrees = uniform (rng, -a->rotate, a->rotate),
                           .scale = 1,
                           .center_x = (double) r->w * 0.5,
                           .center_y = (double) r->h * 0.5 };

  if (a->affine)
    draw_warp (a, r, rng, &w);
  move_one (a, &w, r, &a->how);
  if (mask != NULL) {
    const struct raster_move nearest = { RASTER_NEAREST, { mask->fill } };

    move_one (a, &w, mask->raster, &nearest);
  }
}

/* A factor around 1, not below 0. */
static double
factor (struct qk_rng *rng, double by)
{
  return uniform (rng, by < 1 ? 1 - by : 0, 1 + by);
}

/* In random order; each factor is drawn, whether it is used or not. */
static void
jitter (const struct augment *a, struct raster *r, struct qk_rng *rng)
{
  int order[4] = { 0, 1, 2, 3 };
  double by[4];

  for (int i = 3; i > 0; i--) {
    const int j = (int) qk_rng_below (rng, (uint64_t) i + 1);
    const int was = order[i];

    order[i] = order[j];
    order[j] = was;
  }
  by[0] = factor (rng, a->brightness);
  by[1] = factor (rng, a->contrast);
  by[2] = factor (rng, a->saturation);
  by[3] = uniform (rng, -a->hue, a->hue);
  for (int i = 0; i < 4; i++)
    if (order[i] == 0 && a->brightness > 0)
      raster_brightness (r, by[0]);
    else if (order[i] == 1 && a->contrast > 0)
      raster_contrast (r, by[1]);
    else if (order[i] == 2 && a->saturation > 0)
      raster_saturation (r, by[2]);
    else if (order[i] == 3 && a->hue > 0)
      raster_hue (r, by[3]);
}

void
augment_bytes (const struct augment *a, struct raster *r,
               const struct augment_mask *mask, struct qk_rng *rng)
{
  if (a->moves)
    move (a, r, mask, rng);
  if (a->brightness > 0 || a->contrast > 0 || a->saturation > 0 || a->hue > 0)
    jitter (a, r, rng);
  if (a->policy != AUGMENT_NONE)
    policy_run (a, r, rng);
}

/* The rectangle: ten tries, then none. */
void
augment_floats (const struct augment *a, float *image, int64_t h, int64_t w,
                int64_t channels, struct qk_rng *rng)
{
  const double lo = log (a->erase_ratio[0]), hi = log (a->erase_ratio[1]);

  if (!(a->erase > 0) || !(qk_rng_double (rng) < a->erase))
    return;
  for (int i = 0; i < 10; i++) {
    const double area
      = (double) (h * w) * uniform (rng, a->erase_scale[0], a->erase_scale[1]);
    const double ratio = exp (uniform (rng, lo, hi));
    const int64_t rows = (int64_t) rint (sqrt (area * ratio));
    const int64_t columns = (int64_t) rint (sqrt (area / ratio));
    int64_t top, left;

    if (rows >= h || columns >= w)
      continue;
    top = (int64_t) qk_rng_below (rng, (uint64_t) (h - rows + 1));
    left = (int64_t) qk_rng_below (rng, (uint64_t) (w - columns + 1));
    for (int64_t y = top; y < top + rows; y++)
      for (int64_t k = left * channels; k < (left + columns) * channels; k++)
        image[y * w * channels + k]
          = a->erase_random ? (float) qk_rng_normal (rng) : 0.0f;
    return;
  }
}
