/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* view.c: which part of an image is used, by torchvision's rules. */
#include "config.h"

#include <math.h>

#include "image.h"

/* One side becomes as asked for, the other no smaller. */
static struct image_size
cover (int64_t w, int64_t h, struct image_size to)
{
  if (to.h == to.w) {
    const int64_t shorter = w <= h ? w : h, longer = w <= h ? h : w;
    /* Python: int (resize * long / short) */
    const int64_t other
      = (int64_t) ((double) (to.h * longer) / (double) shorter);

    return w <= h ? (struct image_size){ other, to.w }
                  : (struct image_size){ to.h, other };
  } else {
    const double ratio_h = (double) h / (double) to.h;
    const double ratio_w = (double) w / (double) to.w;
    const double ratio = ratio_h < ratio_w ? ratio_h : ratio_w;

    /* Python's round is half to even */
    return (struct image_size){ (int64_t) rint ((double) h / ratio),
                                (int64_t) rint ((double) w / ratio) };
  }
}

void
image_view_center (int64_t w, int64_t h, struct image_size resize,
                   enum image_fit fit, struct image_size crop,
                   enum image_filter filter, struct image_view *v)
{
  const struct image_size out
    = fit == IMAGE_STRETCH ? resize : cover (w, h, resize);

  v->x = v->y = 0;
  v->w = w;
  v->h = h;
  v->out_w = out.w;
  v->out_h = out.h;
  v->win_x = (int64_t) rint ((double) (v->out_w - crop.w) / 2.0);
  v->win_y = (int64_t) rint ((double) (v->out_h - crop.h) / 2.0);
  v->win_w = crop.w;
  v->win_h = crop.h;
  v->flip = false;
  v->filter = filter;
}

/* The box used when ten random ones did not fit: as much of the middle as
 * the ratio allows. */
static void
central_box (int64_t w, int64_t h, struct image_view *v)
{
  const double lo = 3.0 / 4.0, hi = 4.0 / 3.0;
  const double ratio = (double) w / (double) h;

  v->w = w;
  v->h = h;
  if (ratio < lo)
    v->h = (int64_t) rint ((double) w / lo);
  else if (ratio > hi)
    v->w = (int64_t) rint ((double) h * hi);
  /* a side of one pixel rounds to nothing */
  if (v->w < 1)
    v->w = 1;
  if (v->h < 1)
    v->h = 1;
  v->x = (w - v->w) / 2;
  v->y = (h - v->h) / 2;
}

static void
random_box (int64_t w, int64_t h, double min_scale, struct qk_rng *rng,
            struct image_view *v)
{
  const double area = (double) w * (double) h;
  const double log_lo = log (3.0 / 4.0), log_hi = log (4.0 / 3.0);
  int i;

  for (i = 0; i < 10; i++) {
    const double target
      = area * (min_scale + (1.0 - min_scale) * qk_rng_double (rng));
    const double aspect
      = exp (log_lo + (log_hi - log_lo) * qk_rng_double (rng));

    v->w = (int64_t) rint (sqrt (target * aspect));
    v->h = (int64_t) rint (sqrt (target / aspect));
    if (v->w > 0 && v->w <= w && v->h > 0 && v->h <= h) {
      v->y = (int64_t) qk_rng_below (rng, (uint64_t) (h - v->h + 1));
      v->x = (int64_t) qk_rng_below (rng, (uint64_t) (w - v->w + 1));
      return;
    }
  }
  central_box (w, h, v);
}

void
image_view_random (int64_t w, int64_t h, struct image_size crop,
                   double min_scale, bool flip, enum image_filter filter,
                   struct qk_rng *rng, struct image_view *v)
{
  random_box (w, h, min_scale, rng, v);
  v->out_w = v->win_w = crop.w;
  v->out_h = v->win_h = crop.h;
  v->win_x = v->win_y = 0;
  v->filter = filter;
  v->flip = flip && qk_rng_double (rng) < 0.5;
}

void
image_view_padded (int64_t w, int64_t h, struct image_size resize,
                   enum image_fit fit, struct image_size crop, int64_t pad,
                   bool flip, enum image_filter filter, struct qk_rng *rng,
                   struct image_view *v)
{
  image_view_center (w, h, resize, fit, crop, filter, v);
  v->win_y = (int64_t) qk_rng_below (
               rng, (uint64_t) (v->out_h + 2 * pad - crop.h + 1))
             - pad;
  v->win_x = (int64_t) qk_rng_below (
               rng, (uint64_t) (v->out_w + 2 * pad - crop.w + 1))
             - pad;
  v->flip = flip && qk_rng_double (rng) < 0.5;
}
