/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imageset.c: what datasets of image files have in common. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "imagesize/imagesize.h"
#include "imageset.h"

const char *const imageset_exif[] = { "apply", "ignore", NULL };
const char *const imageset_fit[] = { "auto", "cover", "stretch", NULL };

#define MOST_SIDE 8192

/* One number for each channel; ALPHA for the fourth where three are given. */
static int
read_channels (const struct qk_config *cfg, const char *who, const char *name,
               int channels, float alpha, float out[4])
{
  const int n = qk_config_floats (cfg, name, out, 4);

  if (n == 3 && channels == 4)
    out[3] = alpha;
  else if (n == 3 && channels == 1)
    out[0] = (out[0] + out[1] + out[2]) / 3.0f;
  else if (n != channels)
    return qk_error (-EINVAL, "%s: %s (%s) must be %d numbers, got %d", who,
                     name, qk_config_where (cfg, name), channels, n);
  return 0;
}

/* What is made of the pixels of a file. */
static int
configure_pixels (struct imageset *s, const char *who,
                  const struct qk_config *cfg)
{
  const int channels = (int) qk_config_int (cfg, "channels");
  float background[3], mean[4], std[4];
  const int n = qk_config_floats (cfg, "background", background, 3);
  int i, err;

  if (channels == 2)
    return qk_error (-EINVAL, "%s: channels (%s) must be 1, 3 or 4, got 2",
                     who, qk_config_where (cfg, "channels"));
  if (n != 3)
    return qk_error (-EINVAL, "%s: background (%s) must be 3 numbers, got %d",
                     who, qk_config_where (cfg, "background"), n);
  s->pixels.channels = channels;
  s->pixels.exif = strcmp (qk_config_string (cfg, "exif"), "apply") == 0;
  for (i = 0; i < 3; i++)
    s->pixels.background[i] = (uint8_t) (background[i] + 0.5f);
  err = read_channels (cfg, who, "mean", channels, 0.0f, mean);
  if (err == 0)
    err = read_channels (cfg, who, "std", channels, 1.0f, std);
  return err < 0 ? err : image_norm_set (&s->norm, channels, mean, std, who);
}

/* What is resized to, where crop_pct says it. */
static int
resize_by_share (struct imageset *s, const char *who,
                 const struct qk_config *cfg)
{
  const double share = qk_config_float (cfg, "crop_pct");

  if (qk_config_given (cfg, "resize"))
    return qk_error (-EINVAL,
                     "%s: resize (%s) and crop_pct (%s) are both given, "
                     "expected one of them",
                     who, qk_config_where (cfg, "resize"),
                     qk_config_where (cfg, "crop_pct"));
  /* Python: math.floor (side / crop_pct) */
  s->resize.h = (int64_t) floor ((double) s->crop.h / share);
  s->resize.w = (int64_t) floor ((double) s->crop.w / share);
  if (s->resize.h > MOST_SIDE || s->resize.w > MOST_SIDE)
    return qk_error (-EINVAL,
                     "%s: crop_pct (%s) = %g makes images of %lld x %lld, "
                     "expected sides of %d at most",
                     who, qk_config_where (cfg, "crop_pct"), share,
                     (long long) s->resize.h, (long long) s->resize.w,
                     MOST_SIDE);
  return 0;
}

/* Sizes, and how images come to them. */
static int
configure_size (struct imageset *s, const char *who,
                const struct qk_config *cfg)
{
  const char *fit = qk_config_string (cfg, "fit");
  const bool by_share = qk_config_float (cfg, "crop_pct") > 0;
  int64_t crop[2], resize[2];
  bool alone = true;
  int err = image_size_read (who, cfg, "crop", 1, MOST_SIDE, crop, NULL);

  if (err == 0)
    err = image_size_read (who, cfg, "resize", 1, MOST_SIDE, resize, &alone);
  if (err < 0)
    return err;
  s->crop = (struct image_size){ crop[0], crop[1] };
  s->resize = (struct image_size){ resize[0], resize[1] };
  s->filter = (enum image_filter) image_filter_find (
    qk_config_string (cfg, "interpolation"));
  if (by_share && (err = resize_by_share (s, who, cfg)) < 0)
    return err;
  s->fit = IMAGE_COVER;
  if (strcmp (fit, "stretch") == 0
      || (strcmp (fit, "auto") == 0 && !alone && !by_share))
    s->fit = IMAGE_STRETCH;
  if (s->crop.h <= s->resize.h && s->crop.w <= s->resize.w)
    return 0;
  return qk_error (
    -EINVAL,
    "%s: crop (%s) must be <= resize (%s), got crop %lldx%lld and resize "
    "%lldx%lld",
    who, qk_config_where (cfg, "crop"), qk_config_where (cfg, "resize"),
    (long long) s->crop.h, (long long) s->crop.w, (long long) s->resize.h,
    (long long) s->resize.w);
}

int
imageset_configure (struct imageset *s, const char *name,
                    const struct qk_config *cfg, bool augment)
{
  const int err = configure_size (s, name, cfg);

  s->augment = augment;
  s->min_scale = qk_config_float (cfg, "min_scale");
  s->pad = qk_config_int (cfg, "pad");
  if (s->pad >= 0 && qk_config_given (cfg, "min_scale"))
    return qk_error (
      -EINVAL,
      "%s: pad (%s) and min_scale (%s) are both given, expected "
      "one of them",
      name, qk_config_where (cfg, "pad"), qk_config_where (cfg, "min_scale"));
  s->flip = qk_config_bool (cfg, "flip");
  s->fast = qk_config_bool (cfg, "fast_decode");
  return err < 0 ? err : configure_pixels (s, name, cfg);
}

/* Of the image that was opened. */
static int
render (const struct imageset *s, struct image_reader *r, int64_t w, int64_t h,
        struct qk_rng *rng, float *out)
{
  const bool augment = s->augment && rng;
  struct image_view view;

  if (augment && s->pad >= 0)
    image_view_padded (w, h, s->resize, s->fit, s->crop, s->pad, s->flip,
                       s->filter, rng, &view);
  else if (augment)
    image_view_random (w, h, s->crop, s->min_scale, s->flip, s->filter, rng,
                       &view);
  else
    image_view_center (w, h, s->resize, s->fit, s->crop, s->filter, &view);
  if (augment && s->fast)
    image_reduce (r, &view);
  return image_render (r, &view, &s->norm, NULL, out);
}

int
imageset_read (const struct imageset *s, struct image_reader *r,
               const char *path, struct qk_rng *rng, float *out)
{
  int64_t w, h;
  const int err = image_open (r, path, &w, &h);

  return err ? err : render (s, r, w, h, rng, out);
}

int
imageset_read_memory (const struct imageset *s, struct image_reader *r,
                      const uint8_t *data, size_t size, const char *name,
                      struct qk_rng *rng, float *out)
{
  int64_t w, h;
  const int err = image_open_memory (r, data, size, name, &w, &h);

  return err ? err : render (s, r, w, h, rng, out);
}
